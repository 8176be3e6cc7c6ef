//! Replies to RNFR, RNTO, SIZE, MDTM, MFMT and SITE CHMOD.

use super::Verdict;
use super::files::Fate;
use super::judge::Judge;
use super::lines::Reply;
use super::listing::{format_time, parse_time};
use super::names;
use super::session::Command;
use super::tree::{Lost, Mtime, What};

impl Judge<'_> {
    pub fn rnfr(
        &mut self,
        c: &Command,
        r: &Reply,
        normal: &[u8],
        real: Result<Vec<u8>, Lost>,
        directory: bool,
    ) -> Verdict {
        let fine = match &real {
            // To rename a link, it is named without a slash, as in rename(2).
            Ok(real) if directory => real != b"/" && self.tree().is_dir(real),
            Ok(real) => real != b"/" && self.tree().get(real).is_some(),
            Err(_) => false,
        };
        let text = b"350 Ready for destination name.".to_vec();
        let fate = if fine {
            Fate::Done(text)
        } else {
            Fate::Fails(550)
        };
        let worked = self.fate(c, r, fate)?;
        self.s.rnfr = worked.then(|| normal.to_vec());
        Ok(())
    }

    pub fn rnto(
        &mut self,
        c: &Command,
        r: &Reply,
        normal: &[u8],
        real: Result<Vec<u8>, Lost>,
        directory: bool,
    ) -> Verdict {
        let Some(from) = self.s.rnfr.clone() else {
            if self.is_loose() {
                return self.code(c, r, &[503, 550, 553]);
            }
            return self.want(c, r, "503 Bad sequence of commands: use RNFR first.");
        };
        if from.contains(&b'?') && self.tree().get(&from).is_none() {
            // It stands for a name that cannot be shown.
            self.relax();
        }
        let source = self.tree().resolve(&from, false);
        let may_replace = self.has_perm('d');
        let fate = match (&source, &real) {
            (Ok(source), Ok(to)) => {
                let tree = self.tree();
                let what = tree.get(source).map(|node| &node.what);
                let is_dir = matches!(what, Some(What::Dir));
                let target = tree.get(to).map(|node| &node.what);
                let (parent, name) = names::split(to);
                if directory && !is_dir {
                    Fate::FailsAs(&[553, 550])
                } else if what.is_none() || to == b"/" || !tree.is_dir(parent) || name.len() > 255 {
                    Fate::Fails(550)
                } else if source == to {
                    Fate::Done(b"250 Renaming ok.".to_vec())
                } else if is_dir && names::is_below(source, to) || target.is_some() && !may_replace
                {
                    Fate::Fails(550)
                } else {
                    let fits = match target {
                        None => true,
                        Some(What::Dir) => is_dir && tree.entries(to).next().is_none(),
                        Some(_) => !is_dir,
                    };
                    match fits {
                        true => Fate::Done(b"250 Renaming ok.".to_vec()),
                        false => Fate::Fails(550),
                    }
                }
            }
            _ if directory => Fate::FailsAs(&[550, 553]),
            _ => Fate::Fails(550),
        };
        let worked = self.fate(c, r, fate)?;
        if worked {
            self.name_moved(Some(&from), normal);
            self.s.rnfr = None;
            if let (Ok(from), Ok(to)) = (source, real) {
                self.change(&from, |tree| tree.rename(&from, &to));
                self.tell(&to);
            }
        }
        Ok(())
    }

    pub fn size_or_time(
        &mut self,
        c: &Command,
        r: &Reply,
        name: &str,
        real: Result<Vec<u8>, Lost>,
        directory: bool,
    ) -> Verdict {
        if name == "SIZE" && self.s.ascii {
            return match self.is_loose() || directory {
                true => self.code(c, r, &[550]),
                false => self.want(c, r, "550 SIZE not allowed in ASCII mode."),
            };
        }
        let node = match &real {
            Ok(real) if !directory => self.tree().get(real).cloned(),
            _ => None,
        };
        let number = String::from_utf8_lossy(r.text()).into_owned();
        let fate = match node.as_ref().map(|node| &node.what) {
            Some(What::File(bytes)) if name == "SIZE" => {
                Fate::Done(format!("213 {}", bytes.len()).into_bytes())
            }
            Some(What::Flux) if name == "SIZE" && number.parse::<usize>().is_ok() => {
                Fate::Done(format!("213 {number}").into_bytes())
            }
            Some(What::File(_) | What::Flux) if name == "MDTM" => {
                let at = parse_time(&number);
                let mtime = node.as_ref().map_or(Mtime::ANY, |node| node.mtime);
                match at.is_some_and(|at| mtime.permits(at)) {
                    true => Fate::Done(format!("213 {number}").into_bytes()),
                    false => Fate::Done(format!("213 {}", format_time(mtime.low)).into_bytes()),
                }
            }
            _ => Fate::Fails(550),
        };
        self.fate(c, r, fate).map(drop)
    }

    pub fn mfmt(
        &mut self,
        c: &Command,
        r: &Reply,
        time: &[u8],
        shown: &[u8],
        real: Result<Vec<u8>, Lost>,
        directory: bool,
    ) -> Verdict {
        let text = String::from_utf8_lossy(time).into_owned();
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, "0"));
        let digits = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
        let Some(seconds) = parse_time(whole).filter(|_| digits) else {
            // A path that is no path is refused first.
            let either = directory || self.is_loose();
            self.code(c, r, if either { &[501, 550] } else { &[501] })?;
            return self.done(c);
        };
        let fine = match &real {
            Ok(real) => {
                let tree = self.tree();
                tree.is_dir(real) || tree.get(real).is_some() && !directory
            }
            Err(_) => false,
        };
        let time = format_time(seconds);
        let done = [b"213 Modify=", time.as_bytes(), b"; ", shown, b"."].concat();
        let fate = if fine {
            Fate::Done(done)
        } else {
            Fate::Fails(550)
        };
        if self.fate(c, r, fate)?
            && let Ok(real) = real
        {
            self.attributes_set();
            self.change(&real, |tree| {
                if let Some(node) = tree.get_mut(&real) {
                    // An upload in progress changes it again.
                    node.mtime = match node.what {
                        What::Flux => Mtime::ANY,
                        _ => Mtime::exactly(seconds),
                    };
                }
            });
        }
        self.done(c)
    }

    pub fn chmod(
        &mut self,
        c: &Command,
        r: &Reply,
        mode: &[u8],
        real: Result<Vec<u8>, Lost>,
        directory: bool,
    ) -> Verdict {
        let octal =
            matches!(mode.len(), 3 | 4) && mode.iter().all(|byte| (b'0'..=b'7').contains(byte));
        let number = std::str::from_utf8(mode)
            .ok()
            .and_then(|mode| u32::from_str_radix(mode, 8).ok());
        let Some(number) = number.filter(|number| octal && *number <= 0o777) else {
            // A path that is no path is refused first.
            return self.code(c, r, &[501, 550]);
        };
        let fine = match &real {
            Ok(real) => {
                let tree = self.tree();
                tree.is_dir(real) || !directory && tree.get(real).is_some()
            }
            Err(_) => false,
        };
        let fate = match fine {
            true => Fate::Done(b"200 SITE CHMOD successful.".to_vec()),
            false => Fate::Fails(550),
        };
        if self.fate(c, r, fate)?
            && let Ok(real) = real
        {
            self.attributes_set();
            self.change(&real, |tree| {
                if let Some(node) = tree.get_mut(&real) {
                    node.mode = Some(number);
                }
            });
        }
        Ok(())
    }
}
