//! Servers from Debian's packages. These exclude each other, so nothing is installed: each one is
//! unpacked in a directory, with the libraries that the system lacks.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// An unpacked package.
pub struct Package {
    root: PathBuf,
    /// Its name and version.
    pub version: String,
}

impl Package {
    /// Returns the first of these packages, with the others; downloads them if needed.
    ///
    /// # Errors
    ///
    /// A line that says why the package is not there.
    pub fn get(names: &[&str]) -> Result<Self, String> {
        let root = directory().join(names[0]);
        let debs = root.join("debs");
        if !root.join(COMPLETE).exists() {
            download(names, &debs)?;
            for deb in files(&debs) {
                run(Command::new("dpkg").arg("-x").arg(deb).arg(&root))?;
            }
            fs::write(root.join(COMPLETE), "").map_err(|err| err.to_string())?;
        }
        let start = format!("{}_", names[0]);
        let version = files(&debs).find_map(|deb| {
            let name = deb.file_name()?.to_str()?.strip_prefix(&start)?.to_owned();
            Some(name.split('_').next()?.replace("%3a", ":"))
        });
        let version = version.unwrap_or_default();
        Ok(Self {
            root,
            version: format!("{} {version}", names[0]),
        })
    }

    /// Returns the path of a file in it.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Returns the directories with its libraries, for the dynamic linker.
    pub fn libraries(&self) -> Vec<PathBuf> {
        let parents = ["usr/lib", "lib"].map(|parent| self.root.join(parent));
        let found = parents.iter().flat_map(|parent| files(parent));
        found
            .filter(|path| path.to_string_lossy().ends_with("-linux-gnu"))
            .collect()
    }
}

/// Where packages are kept between runs.
fn directory() -> PathBuf {
    env::var_os("FTPDLIB_BENCH_PACKAGES").map_or_else(
        || Path::new(env!("CARGO_TARGET_TMPDIR")).join("packages"),
        PathBuf::from,
    )
}

fn download(names: &[&str], to: &Path) -> Result<(), String> {
    fs::create_dir_all(to).map_err(|err| err.to_string())?;
    // What apt would install is what is missing.
    let mut simulate = Command::new("apt-get");
    simulate.args(["-s", "install", "--no-install-recommends"]);
    let plan = run(simulate.args(names))?;
    let missing = plan.lines().filter_map(|line| {
        let name = line.strip_prefix("Inst ")?.split(' ').next()?;
        name.starts_with("lib").then_some(name)
    });
    let mut download = Command::new("apt-get");
    download.current_dir(to).arg("download").args(names);
    run(download.args(missing))?;
    Ok(())
}

fn run(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .env("LC_ALL", "C")
        .output()
        .map_err(|err| format!("{program}: {err}"))?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        let line = error.lines().find(|line| line.starts_with("E: "));
        return Err(format!("{program}: {}", line.unwrap_or(error.trim())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn files(directory: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path()))
}

/// The file that marks a complete directory.
const COMPLETE: &str = "complete";
