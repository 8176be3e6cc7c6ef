//! The Markdown files of the repository: every relative link leads to a file and every
//! anchor to a heading, and the README stays short.
//!
//! `src/lib.rs` includes some of the files, so that `cargo doc` has them as pages. A page
//! is not in the directory of its file, so a page links to files by names only, which
//! `src/lib.rs` defines for the pages.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

const README_LINES: usize = 150;

#[test]
fn the_readme_is_short() {
    let lines = text(Path::new("README.md")).lines().count();
    assert!(
        lines <= README_LINES,
        "README.md has {lines} lines, more than {README_LINES}: move what is new to docs/"
    );
}

/// Each row of the tables of threats names tests that exist.
#[test]
fn the_tests_of_threats_exist() {
    let mut sources = String::new();
    for directory in ["src", "tests"] {
        read_sources(Path::new(directory), &mut sources);
    }
    let security = text(Path::new("docs/SECURITY.md"));
    let mut seen = 0;
    for row in security.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").collect();
        let tests = cells.last().unwrap().split('`').skip(1).step_by(2);
        for test in tests {
            assert!(sources.contains(&format!("fn {test}(")), "no test {test}");
            seen += 1;
        }
    }
    assert!(seen > 40, "{seen}");
}

fn read_sources(directory: &Path, sources: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_sources(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push_str(&text(&path));
        }
    }
}

#[test]
fn every_link_leads_somewhere() {
    let documents = documents();
    assert!(documents.len() >= 10, "{:?}", documents.keys());
    let mut broken = Vec::new();
    let mut seen = 0;
    for (path, document) in &documents {
        for name in &document.names {
            if !document.definitions.contains_key(name) {
                broken.push(format!("{}: [{name}] is not defined", path.display()));
            }
        }
        for target in document.targets.iter().chain(document.definitions.values()) {
            seen += 1;
            if let Err(why) = check(path, target, &documents) {
                broken.push(format!("{}: {target}: {why}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(seen > 50, "{seen} links are few: are they found?");
}

#[test]
fn pages_link_by_names_that_the_crate_defines() {
    let documents = documents();
    let source = text(Path::new("src/lib.rs"));
    let (_, source) = source.split_once("macro_rules! pages").unwrap();
    let names = names_of_pages(source);
    let pages: BTreeMap<String, PathBuf> = pages(source).collect();
    assert!(pages.len() > 5, "{pages:?}");
    let mut wrong = Vec::new();
    for path in pages.values() {
        let document = &documents[path];
        for target in document.targets.iter().filter(|target| is_relative(target)) {
            if !target.starts_with('#') {
                wrong.push(format!("{}: {target}: give it a name", path.display()));
            }
        }
        for (name, target) in &document.definitions {
            if !is_relative(target) {
                continue;
            }
            let Some(there) = names.get(name) else {
                wrong.push(format!("{}: src/lib.rs has no [{name}]", path.display()));
                continue;
            };
            // Others lead to an item of the crate.
            let (page, anchor) = there.split_once('#').unwrap_or((there, ""));
            if let Some(page) = pages.get(page) {
                let (file, here) = target.split_once('#').unwrap_or((target, ""));
                let file = beside(path, file);
                let same = name == "examples" || (file == *page && here == anchor);
                if !same {
                    wrong.push(format!("{}: [{name}] is {there} there", path.display()));
                }
                if !anchor.is_empty() && !documents[page].anchors.contains(anchor) {
                    wrong.push(format!("src/lib.rs: [{name}]: no such heading"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What a Markdown file links to, and what others may link to in it.
#[derive(Default)]
struct Document {
    /// Of `[text](target)` and of images.
    targets: Vec<String>,
    /// Of `[text][name]`.
    names: Vec<String>,
    /// Of `[name]: target`.
    definitions: BTreeMap<String, String>,
    anchors: BTreeSet<String>,
}

impl Document {
    fn parse(text: &str) -> Self {
        let mut document = Self::default();
        let mut in_code = false;
        for line in text.lines() {
            let fence = line.trim_start().starts_with("```");
            in_code ^= fence;
            if in_code || fence {
                continue;
            }
            if line.starts_with('#') {
                document.heading(line.trim_start_matches('#').trim());
            }
            document.links(&without_code(line));
        }
        document
    }

    /// As GitHub and rustdoc do: letters, digits, `-` and `_` stay, blanks become `-`, and
    /// the second heading of a name has `-1` behind it.
    fn heading(&mut self, text: &str) {
        let kept = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | ' ');
        let slug: String = text.chars().filter(|c| kept(*c)).collect();
        let slug = slug.to_lowercase().replace(' ', "-");
        let numbered = (1..).map(|n| format!("{slug}-{n}"));
        let mut anchors = std::iter::once(slug.clone()).chain(numbered);
        let anchor = anchors.find(|anchor| !self.anchors.contains(anchor));
        self.anchors.extend(anchor);
    }

    fn links(&mut self, line: &str) {
        if let Some((name, target)) = definition(line) {
            self.definitions.insert(name.to_owned(), target.to_owned());
            return;
        }
        for (before, after) in [
            ("](", ')'),
            ("][", ']'),
            ("src=\"", '"'),
            ("srcset=\"", '"'),
        ] {
            for part in line.split(before).skip(1) {
                let found = part.split(after).next().unwrap_or_default().to_owned();
                match before {
                    "][" => self.names.push(found),
                    _ => self.targets.push(found),
                }
            }
        }
    }
}

/// `[name]: target`
fn definition(line: &str) -> Option<(&str, &str)> {
    let (name, target) = line.strip_prefix('[')?.split_once("]: ")?;
    Some((name, target.trim()))
}

/// A line with nothing between its backticks.
fn without_code(line: &str) -> String {
    let text = |(i, part): (usize, &str)| (i % 2 == 0).then(|| part.to_owned());
    let parts: Vec<_> = line.split('`').enumerate().filter_map(text).collect();
    parts.join("``")
}

fn is_relative(target: &str) -> bool {
    !["http://", "https://", "mailto:"]
        .iter()
        .any(|scheme| target.starts_with(scheme))
}

fn check(
    from: &Path,
    target: &str,
    documents: &BTreeMap<PathBuf, Document>,
) -> Result<(), &'static str> {
    if !is_relative(target) {
        return Ok(());
    }
    let (file, anchor) = match target.split_once('#') {
        Some((file, anchor)) => (file, Some(anchor)),
        None => (target, None),
    };
    let path = match file {
        "" => from.to_owned(),
        file => beside(from, file),
    };
    if !root().join(&path).exists() {
        return Err("no such file");
    }
    let Some(anchor) = anchor else {
        return Ok(());
    };
    let document = documents.get(&path).ok_or("no Markdown, so no headings")?;
    let known = document.anchors.contains(anchor);
    known.then_some(()).ok_or("no such heading")
}

/// The path from the root that a relative path in a file means.
fn beside(from: &Path, relative: &str) -> PathBuf {
    let mut path = from.parent().unwrap().to_owned();
    for component in Path::new(relative).components() {
        match component {
            Component::ParentDir => {
                path.pop();
            }
            component => path.push(component),
        }
    }
    path
}

/// Of `/// [name]: crate::target`, that target.
fn names_of_pages(source: &str) -> BTreeMap<String, String> {
    let lines = source.lines().filter_map(|line| {
        let (name, target) = definition(line.trim_start().strip_prefix("/// ")?)?;
        Some((name.to_owned(), target.to_owned()))
    });
    lines.collect()
}

/// Of `name: "../FILE";`, the path in the crate, and the file.
fn pages(source: &str) -> impl Iterator<Item = (String, PathBuf)> {
    let mut module = "crate";
    source.lines().filter_map(move |line| {
        if line.starts_with("pub mod docs {") {
            module = "crate::docs";
        }
        let (name, file) = line.trim().split_once(": \"../")?;
        let file = file.strip_suffix("\";")?;
        Some((format!("{module}::{name}"), PathBuf::from(file)))
    })
}

/// All Markdown files, by their paths from the root.
fn documents() -> BTreeMap<PathBuf, Document> {
    let mut documents = BTreeMap::new();
    let mut directories = vec![PathBuf::new()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(root().join(&directory)).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name();
            let path = directory.join(&name);
            let hidden = name.to_string_lossy().starts_with('.');
            if entry.file_type().unwrap().is_dir() {
                if !hidden && name != "target" {
                    directories.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "md") {
                let document = Document::parse(&text(&path));
                documents.insert(path, document);
            }
        }
    }
    documents
}

fn text(path: &Path) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
