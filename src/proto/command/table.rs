//! The table of commands.

use std::borrow::Cow;

use super::entry::{ArgKind, ProtoCmd, Role};
use super::stock::{self, Row};

/// The commands that a server knows, by name. The default table holds those of pyftpdlib 2.2.
///
/// Names are in upper case. The name of a SITE command has both words, as in `SITE CHMOD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtoCmds {
    /// Sorted by name: looking a name up must not allocate, since each line of each client
    /// does it; and HELP lists the names in this order.
    table: Vec<Entry>,
}

/// A command of the table, with what the server knows about it by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: Cow<'static, str>,
    pub(crate) cmd: ProtoCmd,
    pub(crate) kind: ArgKind,
    pub(crate) role: Role,
}

impl Entry {
    /// A command under this name keeps the role of the stock command of the same name, and
    /// the kind of its argument if both take a path. STAT without a permission is still about
    /// the session.
    fn new(name: Cow<'static, str>, cmd: ProtoCmd) -> Self {
        let stock = stock::row(&name);
        let kind = match stock {
            Some(row) if row.kind == ArgKind::Status => row.kind,
            Some(row) if row.takes_path() && cmd.perm.is_some() => row.kind,
            _ => ArgKind::of_custom(&cmd),
        };
        Self {
            kind,
            role: stock.map_or(Role::Other, |row| row.role),
            name,
            cmd,
        }
    }

    fn of_stock(row: &Row) -> Self {
        Self::new(Cow::Borrowed(row.name), row.cmd())
    }
}

impl ProtoCmds {
    /// A command, by its name in upper case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&ProtoCmd> {
        self.find(name).map(|entry| &entry.cmd)
    }

    /// A command with its name as the table holds it.
    #[must_use]
    pub fn entry(&self, name: &str) -> Option<(&str, &ProtoCmd)> {
        self.find(name).map(|entry| (&*entry.name, &entry.cmd))
    }

    /// All that the table knows about a command, by its name in upper case.
    pub(crate) fn find(&self, name: &str) -> Option<&Entry> {
        let at = self.position(name).ok()?;
        self.table.get(at)
    }

    /// All that the table knows, sorted by name.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.table.iter()
    }

    /// The role of a command. A stock command keeps it when the table does not hold it.
    pub(crate) fn role(&self, name: &str) -> Role {
        stock::row(name).map_or(Role::Other, |row| row.role)
    }

    /// Whether the table holds a command, by its name in upper case.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.position(name).is_ok()
    }

    /// Adds or replaces a command, and returns the one that it replaces. The name is changed
    /// to upper case, as the client's verb will be.
    pub fn insert(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        cmd: ProtoCmd,
    ) -> Option<ProtoCmd> {
        let mut name = name.into();
        if name.bytes().any(|byte| byte.is_ascii_lowercase()) {
            name.to_mut().make_ascii_uppercase();
        }
        let position = self.position(&name);
        let entry = Entry::new(name, cmd);
        match position {
            Ok(at) => self
                .table
                .get_mut(at)
                .map(|old| std::mem::replace(old, entry).cmd),
            Err(at) => {
                self.table.insert(at, entry);
                None
            }
        }
    }

    /// Removes a command. The server then replies 500 to it, as to any unknown command.
    pub fn remove(&mut self, name: &str) -> Option<ProtoCmd> {
        let at = self.position(name).ok()?;
        Some(self.table.remove(at).cmd)
    }

    /// Adds AUTH, PBSZ and PROT (RFC 4217), unless the table holds them already.
    pub fn insert_tls(&mut self) {
        for row in &stock::TLS {
            if !self.contains(row.name) {
                self.insert(row.name, row.cmd());
            }
        }
    }

    /// The commands, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &ProtoCmd)> {
        self.table.iter().map(|entry| (&*entry.name, &entry.cmd))
    }

    /// The lines between the first and the last line of the reply to HELP, without CRLF: eight
    /// names to a line, each after a space and padded to six characters. SITE commands are
    /// listed by SITE HELP only.
    #[must_use]
    pub fn help_lines(&self) -> Vec<String> {
        let names: Vec<&str> = self
            .iter()
            .map(|(name, _)| name)
            .filter(|name| !name.starts_with(SITE))
            .collect();
        names
            .chunks(8)
            .map(|row| row.iter().map(|name| format!(" {name:<6}")).collect())
            .collect()
    }

    /// The second words of the SITE commands, sorted, for SITE HELP.
    pub fn site_names(&self) -> impl Iterator<Item = &str> {
        self.iter().filter_map(|(name, _)| name.strip_prefix(SITE))
    }

    fn position(&self, name: &str) -> Result<usize, usize> {
        self.table.binary_search_by(|known| (*known.name).cmp(name))
    }
}

impl Default for ProtoCmds {
    fn default() -> Self {
        let mut table: Vec<_> = stock::STOCK.iter().map(Entry::of_stock).collect();
        table.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Self { table }
    }
}

/// The prefix of the names of SITE commands.
const SITE: &str = "SITE ";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::command::Arg;
    use crate::proto::perm::Perm;

    #[test]
    fn the_stock_table() {
        let cmds = ProtoCmds::default();
        assert!(cmds.iter().is_sorted_by_key(|(name, _)| name));
        for (name, cmd) in cmds.iter() {
            let verb = cmd.help.strip_prefix("Syntax: ").unwrap();
            assert!(verb.starts_with(name), "{name}");
            assert_eq!(cmds.get(name), Some(cmd));
        }
        let stat = cmds.get("STAT").unwrap();
        assert_eq!((stat.perm, stat.auth), (Some(Perm::List), false));
        assert_eq!(cmds.get("ABOR").unwrap().arg, Arg::Forbidden);
        assert_eq!(cmds.get("noop"), None);
        assert!(!cmds.contains("SITE EXEC"));
        assert_eq!(cmds.site_names().collect::<Vec<_>>(), ["CHMOD", "HELP"]);
    }

    #[test]
    fn help_is_eight_to_a_line() {
        let lines = ProtoCmds::default().help_lines();
        assert_eq!(lines.len(), 6);
        assert_eq!(
            lines[0],
            " ABOR   ALLO   APPE   CDUP   CWD    DELE   EPRT   EPSV  "
        );
        assert_eq!(lines[5], " XCUP   XCWD   XMKD   XPWD   XRMD  ");
    }

    #[test]
    fn commands_come_and_go() {
        let mut cmds = ProtoCmds::default();
        let crc = ProtoCmd {
            perm: Some(Perm::Read),
            auth: true,
            arg: Arg::Required,
            help: "Syntax: XCRC <SP> path.".into(),
        };
        assert_eq!(cmds.insert("xcrc", crc.clone()), None);
        assert_eq!(cmds.get("XCRC"), Some(&crc));
        assert_eq!(cmds.insert("XCRC", crc.clone()), Some(crc.clone()));
        assert!(cmds.iter().is_sorted_by_key(|(name, _)| name));
        assert_eq!(cmds.remove("XCRC"), Some(crc));
        assert_eq!(cmds.remove("XCRC"), None);
    }

    #[test]
    fn a_command_keeps_the_role_of_its_name() {
        let mut cmds = ProtoCmds::default();
        let old = cmds.remove("CWD").unwrap();
        let open = ProtoCmd {
            perm: None,
            ..old.clone()
        };
        cmds.insert("CWD", open);
        assert_eq!(cmds.find("CWD").unwrap().kind, ArgKind::Text);
        cmds.insert("CWD", old.clone());
        assert_eq!(cmds.find("CWD").unwrap().kind, ArgKind::Directory);
        cmds.insert("PASV", old.clone());
        assert_eq!(cmds.find("PASV").unwrap().kind, ArgKind::Existing);
        assert_eq!(cmds.role("PASV"), Role::Connects);
        cmds.insert("XCRC", old);
        assert_eq!(cmds.role("XCRC"), Role::Other);
        assert_eq!(
            cmds.role("PROT"),
            Role::Protects,
            "although there is no TLS"
        );
        let stat = ProtoCmd {
            perm: None,
            ..cmds.remove("STAT").unwrap()
        };
        assert_eq!(cmds.role("STAT"), Role::Inquires);
        cmds.insert("STAT", stat);
        assert_eq!(cmds.find("STAT").unwrap().kind, ArgKind::Status);
    }
}
