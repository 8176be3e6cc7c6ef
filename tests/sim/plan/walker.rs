//! How the steps of a client are drawn: a walk with a rough idea of what there is.

use super::actions::{ACTIONS, Action};
use super::draw::Draw;
use super::scene::{Encoding, Home, Kind, Settings, Tls, User};
use super::step::{Step, Temper};
use super::{ends, hostile};

/// A client while its steps are drawn. What it believes of its home may be wrong: then it gets
/// the errors that a client gets.
pub struct Walker<'a> {
    pub draw: &'a mut Draw,
    pub settings: &'a Settings,
    pub user: &'a User,
    pub marker: &'a str,
    /// Whether others work in the home, too.
    pub is_shared: bool,
    pub temper: Temper,
    pub steps: Vec<Step>,
    /// Absolute paths.
    pub files: Vec<String>,
    pub dirs: Vec<String>,
    pub links: Vec<String>,
    pub cwd: String,
    /// Whether the last `Open` has not been used.
    pub has_port: bool,
    pub is_in: bool,
    /// How many names were made up.
    pub made: usize,
}

impl<'a> Walker<'a> {
    pub fn new(
        draw: &'a mut Draw,
        settings: &'a Settings,
        user: &'a User,
        home: &'a Home,
        temper: Temper,
    ) -> Self {
        let (mut files, mut dirs, mut links) = (Vec::new(), vec!["/".to_owned()], Vec::new());
        for (path, node) in &home.tree {
            let path = String::from_utf8_lossy(path).into_owned();
            match node.kind {
                Kind::Dir => dirs.push(path),
                Kind::File(_) => files.push(path),
                Kind::Link(_) => links.push(path),
            }
        }
        Self {
            draw,
            settings,
            user,
            marker: &home.marker,
            is_shared: !home.private,
            temper,
            steps: Vec::new(),
            files,
            dirs,
            links,
            cwd: "/".to_owned(),
            has_port: false,
            is_in: false,
            made: 0,
        }
    }

    /// Draws all steps.
    pub fn walk(&mut self) {
        if self.temper == Temper::Hostile && self.draw.percent(10) {
            return hostile::browser(self);
        }
        self.secure();
        self.log_in();
        // Without a login there is not much to see.
        let most = if self.is_in { 22 } else { 5 };
        let count = self.draw.within(2, most);
        for _ in 0..count {
            let action: &Action = self.draw.weighted(ACTIONS);
            action(self);
            match self.temper {
                Temper::Hostile if self.draw.percent(35) => hostile::attack(self),
                Temper::Rude if self.draw.percent(12) => ends::rudeness(self),
                Temper::Slow if self.draw.percent(15) => ends::pause(self),
                Temper::Pipelining if self.draw.percent(20) => self.steps.push(Step::Await),
                _ => {}
            }
        }
        ends::end(self);
    }

    /// AUTH, PBSZ and PROT.
    fn secure(&mut self) {
        if self.settings.tls == Tls::Off {
            return;
        }
        let needed = self.settings.tls != Tls::On;
        if !needed && self.draw.percent(25) {
            return;
        }
        if !needed && self.draw.percent(10) {
            // A failure that AUTH must not wash away.
            self.say("USER nobody");
            self.say("PASS wrong");
        }
        let line = *self
            .draw
            .of(&["AUTH TLS", "AUTH TLS", "AUTH TLS", "AUTH SSL"]);
        self.steps.push(Step::Command {
            line: line.into(),
            wait: true,
        });
        if self.draw.percent(85) {
            self.say("PBSZ 0");
            self.say("PROT P");
        }
    }

    pub fn log_in(&mut self) {
        if self.draw.percent(4) {
            return;
        }
        let name = self.user.name.clone();
        if self.draw.percent(8) {
            self.say(format!("USER {name}"));
            self.say("PASS wrong");
        }
        let password = self.user.password.clone();
        self.say(format!("USER {name}"));
        self.say(format!("PASS {password}"));
        self.is_in = true;
        self.cwd = "/".to_owned();
        if self.draw.percent(65) {
            self.say("TYPE I");
        }
    }

    /// Whether to wait for the final reply of the next command.
    pub fn waits(&mut self) -> bool {
        match self.temper {
            Temper::Orderly | Temper::Slow | Temper::Cut => !self.draw.percent(3),
            Temper::Pipelining => self.draw.percent(15),
            Temper::Rude | Temper::Hostile => self.draw.percent(60),
        }
    }

    /// Sends a command whose text is of ASCII, or of the encoding already.
    pub fn say(&mut self, line: impl Into<Vec<u8>>) {
        let wait = self.waits();
        let line = line.into();
        self.steps.push(Step::Command { line, wait });
    }

    /// Sends a command with a path.
    pub fn say_path(&mut self, command: &str, path: &str) {
        let line = self.line(command, path);
        self.say(line);
    }

    pub fn line(&mut self, command: &str, path: &str) -> Vec<u8> {
        let mut line = command.as_bytes().to_vec();
        if !path.is_empty() {
            line.push(b' ');
            line.extend(self.wire(path));
        }
        line
    }

    /// A name as the client sends it.
    pub fn wire(&self, name: &str) -> Vec<u8> {
        match self.settings.encoding {
            Encoding::Latin1 => name
                .chars()
                .map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?'))
                .collect(),
            _ => name.as_bytes().to_vec(),
        }
    }
}
