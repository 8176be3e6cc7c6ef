//! The table of floors in the docs of `src/lib.rs`.

/// The heading that the table follows.
const HEADING: &str = "# The floors";
/// The head of the table.
const COLUMNS: [&str; 3] = ["module", "knows", "does not know"];
/// What stands in the table for the program, on top of the library.
const PROGRAM: &str = "main";

/// The rows of the table, from the bottom up: the modules on each floor.
#[derive(Debug)]
pub(crate) struct Floors(Vec<Vec<String>>);

impl Floors {
    /// # Errors
    /// Where there is no such table in these docs, or a row of it cannot be understood.
    pub(crate) fn parse(root: &str) -> Result<Self, String> {
        let docs = docs(root);
        let rows = rows(&docs)?;
        let mut floors: Vec<Vec<String>> = Vec::new();
        for row in rows {
            let modules = modules(&row)?;
            for module in &modules {
                if floors.iter().flatten().any(|other| other == module) {
                    return Err(format!("the floors have two rows for `{module}`"));
                }
            }
            floors.push(modules);
        }
        match floors.last_mut() {
            None => Err(format!("the table under {HEADING:?} has no rows")),
            Some(top) if top == &[PROGRAM] => {
                floors.pop();
                Ok(Self(floors))
            }
            Some(_) => Ok(Self(floors)),
        }
    }

    /// The floor of a module, counted from 1 at the bottom, and the entry that it belongs
    /// to: the longest that is the module or one above it.
    pub(crate) fn of(&self, module: &str) -> Option<(usize, &str)> {
        let floors = self.0.iter().enumerate();
        let entries = floors.flat_map(|(at, row)| row.iter().map(move |entry| (at + 1, entry)));
        entries
            .filter(|(_, entry)| is_within(module, entry))
            .max_by_key(|(_, entry)| entry.len())
            .map(|(floor, entry)| (floor, entry.as_str()))
    }

    /// The lowest floor of a module below this one.
    pub(crate) fn lowest_within(&self, module: &str) -> Option<usize> {
        let is_inside = |row: &Vec<String>| row.iter().any(|entry| is_within(entry, module));
        self.0.iter().position(is_inside).map(|at| at + 1)
    }

    /// All entries.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flatten().map(String::as_str)
    }
}

/// Whether a module, such as `a::b`, is this one or stands below it.
pub(crate) fn is_within(module: &str, ancestor: &str) -> bool {
    module
        .strip_prefix(ancestor)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The docs of the crate, without their `//!`.
fn docs(root: &str) -> String {
    let lines = root.lines().filter_map(|line| line.strip_prefix("//!"));
    lines
        .map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line)))
        .collect()
}

/// The cells of the rows of the table.
fn rows(docs: &str) -> Result<Vec<Vec<String>>, String> {
    let mut lines = docs.lines().enumerate();
    lines
        .find(|(_, line)| *line == HEADING)
        .ok_or_else(|| format!("the docs of src/lib.rs have no heading {HEADING:?}"))?;
    let lines = lines
        .skip_while(|(_, line)| !line.starts_with('|') && !line.starts_with('#'))
        .take_while(|(_, line)| line.starts_with('|'));
    let mut rows = lines.map(|(_, line)| cells(line));
    let head = rows
        .next()
        .ok_or_else(|| format!("no table follows the heading {HEADING:?}"))?;
    if head != COLUMNS {
        return Err(format!(
            "the columns of the floors are {head:?}, and should be {COLUMNS:?}"
        ));
    }
    let rows: Vec<_> = rows.skip(1).collect();
    match rows.iter().find(|row| row.len() != COLUMNS.len()) {
        Some(row) => Err(format!(
            "a row of the floors has {} cells instead of {}: {row:?}",
            row.len(),
            COLUMNS.len()
        )),
        None => Ok(rows),
    }
}

fn cells(line: &str) -> Vec<String> {
    let line = line.trim().trim_start_matches('|').trim_end_matches('|');
    line.split('|').map(|cell| cell.trim().to_owned()).collect()
}

/// The modules in the first cell of a row: what stands between backticks.
fn modules(row: &[String]) -> Result<Vec<String>, String> {
    let parts: Vec<_> = row[0].split('`').collect();
    let modules: Vec<_> = parts.iter().skip(1).step_by(2).copied().collect();
    let is_path = |module: &&str| {
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let mut names = module.split("::");
        names.all(|name| !name.is_empty() && name.chars().all(is_name))
    };
    if parts.len() % 2 == 0 || modules.is_empty() || !modules.iter().all(is_path) {
        return Err(format!(
            "the first cell of a row of the floors holds module paths in backticks, not {:?}",
            row[0]
        ));
    }
    Ok(modules.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &str) -> String {
        format!(
            "//! # The floors\n//!\n//! From the bottom.\n//!\n\
             //! | module | knows | does not know |\n//! |---|---|---|\n{rows}//!\n//! # More\n"
        )
    }

    #[test]
    fn counts_floors_from_the_bottom() {
        let text = table(
            "//! | `sys`, [`time`](mod@time) | a | b |\n//! | [`top::data`] | a | b |\n\
             //! | `top` | a | b |\n//! | `main` | a | b |\n",
        );
        let floors = Floors::parse(&text).unwrap();
        assert_eq!(floors.of("sys"), Some((1, "sys")));
        assert_eq!(floors.of("time"), Some((1, "time")));
        assert_eq!(floors.of("top::data::drive"), Some((2, "top::data")));
        assert_eq!(floors.of("top::database"), Some((3, "top")));
        assert_eq!(floors.of("main"), None);
    }

    #[test]
    fn says_what_is_wrong_with_a_table() {
        let error = |text: &str| Floors::parse(text).unwrap_err();
        assert!(error("//! nothing\n").contains("no heading"));
        assert!(error("//! # The floors\n//! text\n//! # More\n//! | a |\n").contains("no table"));
        assert!(error("//! # The floors\n//! | module | what |\n").contains("should be"));
        assert!(error(&table("")).contains("no rows"));
        assert!(error(&table("//! | sys | a | b |\n")).contains("in backticks"));
        assert!(error(&table("//! | `Sys` | a | b |\n")).contains("in backticks"));
        assert!(error(&table("//! | `sys` | a |\n")).contains("2 cells instead of 3"));
        let twice = table("//! | `a`, `b` | x | y |\n//! | `b` | x | y |\n");
        assert!(error(&twice).contains("two rows for `b`"));
    }
}
