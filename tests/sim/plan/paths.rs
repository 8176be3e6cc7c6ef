//! Which paths a client names.

use super::surroundings::NAMES;
use super::walker::Walker;

impl Walker<'_> {
    /// A file that is believed to exist, in one of the ways to write it; sometimes something else.
    pub fn a_file(&mut self) -> String {
        match self.draw.below(20) {
            0 => return self.a_dir(),
            1 => return self.odd_path(),
            2 if !self.links.is_empty() => {
                let link = self.draw.of(&self.links).clone();
                return self.written(&link);
            }
            _ => {}
        }
        if self.files.is_empty() {
            return self.new_path();
        }
        let path = self.draw.of(&self.files).clone();
        self.written(&path)
    }

    pub fn a_dir(&mut self) -> String {
        match self.draw.below(20) {
            0 => return self.odd_path(),
            1 => return "..".to_owned(),
            2 if !self.links.is_empty() => {
                let link = self.draw.of(&self.links).clone();
                return self.written(&link);
            }
            3 if !self.files.is_empty() => {
                let file = self.draw.of(&self.files).clone();
                return self.written(&file);
            }
            _ => {}
        }
        let path = self.draw.of(&self.dirs).clone();
        self.written(&path)
    }

    pub fn anything(&mut self) -> String {
        match self.draw.percent(50) {
            true => self.a_file(),
            false => self.a_dir(),
        }
    }

    /// A path that nothing has, as far as is known.
    pub fn new_path(&mut self) -> String {
        let path = self.new_absolute();
        self.written(&path)
    }

    pub fn new_absolute(&mut self) -> String {
        let dir = self.draw.of(&self.dirs).clone();
        let mut name = (*self.draw.weighted(NAMES)).to_owned();
        if self.draw.percent(60) {
            self.made += 1;
            name = format!("{name}{}", self.made);
        }
        if self.draw.percent(10) {
            name.push_str(self.marker);
        }
        match dir.as_str() {
            "/" => format!("/{name}"),
            _ => format!("{dir}/{name}"),
        }
    }

    /// One of the ways to write an absolute path.
    pub fn written(&mut self, path: &str) -> String {
        match self.draw.below(12) {
            0 => return format!("/../..{path}"),
            1 => return path.replace('/', "//"),
            2 => return format!("/./{}", &path[1..]),
            3 => return format!("/nowhere/..{path}"),
            4 | 5 => return path.to_owned(),
            _ => {}
        }
        // Relative, if it is below the current directory.
        if self.cwd == "/" {
            let relative = &path[1..];
            return match relative.is_empty() {
                true => "/".to_owned(),
                false => relative.to_owned(),
            };
        }
        match path
            .strip_prefix(&self.cwd)
            .and_then(|rest| rest.strip_prefix('/'))
        {
            Some(rest) if !rest.is_empty() => rest.to_owned(),
            _ => path.to_owned(),
        }
    }

    /// Paths that are no names, or lead out.
    pub fn odd_path(&mut self) -> String {
        let odd = [
            "",
            ".",
            "..",
            "/",
            "../../../../etc/passwd",
            "/../../home/0",
            "missing",
            "missing/x",
            "a/x",
            "dir/",
            "a/",
            "a/.",
            "~",
            "*",
            "*.txt",
            "-la",
            "-a dir",
            "a\u{0}b",
            "a\rb",
            "con\ttrol",
        ];
        let text = *self.draw.of(&odd);
        match self.draw.percent(5) {
            true => "n".repeat(self.draw.within(250, 260)),
            false => text.to_owned(),
        }
    }
}
