//! Values, and the kinds of values there are.
//!
//! A value comes from the file, with a type, or from a flag, as text. Errors say
//! what is wrong without saying where: the caller knows.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use ftpdlib::CertFiles;
use toml::de::{DeInteger, DeValue};

/// A value on its way into a setting.
#[derive(Debug)]
pub(crate) enum Value<'a> {
    /// The text after a flag.
    Text(&'a str),
    /// What a flag without text stands for.
    Switch(bool),
    /// A value of the file.
    Toml(&'a DeValue<'a>),
}

impl Value<'_> {
    /// Any text.
    pub(crate) fn text(&self) -> Result<String, String> {
        match self {
            Self::Text(text) => Ok((*text).to_owned()),
            Self::Toml(DeValue::String(text)) => Ok(text.as_ref().to_owned()),
            _ => Err(self.must_be("a string")),
        }
    }

    /// A path: one of the file is relative to `base`.
    pub(crate) fn path(&self, base: &Path) -> Result<PathBuf, String> {
        match self {
            Self::Text("") => Err("must not be empty".to_owned()),
            Self::Text(path) => Ok(PathBuf::from(path)),
            _ => match self.text()?.as_str() {
                "" => Err("must not be empty".to_owned()),
                path => Ok(base.join(path)),
            },
        }
    }

    /// One of some words, for what it stands for.
    pub(crate) fn one_of<T: Copy>(&self, words: &[(&str, T)]) -> Result<T, String> {
        let text = self.text()?;
        let found = words.iter().find(|(word, _)| *word == text);
        found.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let words: Vec<_> = words.iter().map(|(word, _)| format!("'{word}'")).collect();
            format!("must be one of {}, not '{text}'", words.join(", "))
        })
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&self) -> Result<bool, String> {
        match self {
            Self::Switch(on) | Self::Toml(DeValue::Boolean(on)) => Ok(*on),
            _ => Err(self.must_be("true or false")),
        }
    }

    /// An integer in a range.
    pub(crate) fn integer<T: TryFrom<i64>>(&self, range: RangeInclusive<i64>) -> Result<T, String> {
        let (number, text) = match self {
            Self::Text(text) => (parse_or_saturate(text), text.to_string()),
            Self::Toml(DeValue::Integer(integer)) => (integer_of(integer), integer.to_string()),
            _ => return Err(self.must_be("an integer")),
        };
        let Some(number) = number else {
            return Err(format!("must be an integer, not '{text}'"));
        };
        let in_range = range.contains(&number);
        match T::try_from(number) {
            Ok(value) if in_range => Ok(value),
            _ if *range.end() == i64::MAX => {
                Err(format!("must be {} or more (got {text})", range.start()))
            }
            _ => {
                let (min, max) = range.into_inner();
                Err(format!("must be between {min} and {max} (got {text})"))
            }
        }
    }

    /// Seconds, whole or not.
    pub(crate) fn time(&self) -> Result<Duration, String> {
        let (seconds, text) = match self {
            Self::Text(text) => (text.trim().parse::<f64>().ok(), text.to_string()),
            Self::Toml(DeValue::Float(float)) => (float.as_str().parse().ok(), float.to_string()),
            Self::Toml(DeValue::Integer(integer)) => {
                (integer.to_string().parse().ok(), integer.to_string())
            }
            _ => return Err(self.must_be("a number of seconds")),
        };
        let seconds =
            seconds.ok_or_else(|| format!("must be a number of seconds, not '{text}'"))?;
        // Not a number is in no range.
        if !(0.0..=MAX_SECONDS).contains(&seconds) {
            return Err(format!(
                "must be between 0 and {MAX_SECONDS} seconds (got {text})"
            ));
        }
        let time = Duration::from_secs_f64(seconds);
        // A little must not become 0, which may mean "never".
        let least = if seconds > 0.0 { LEAST } else { Duration::ZERO };
        Ok(time.max(least))
    }

    /// Seconds, with 0 for "never".
    pub(crate) fn timeout(&self) -> Result<Option<Duration>, String> {
        let time = self.time()?;
        Ok((!time.is_zero()).then_some(time))
    }

    /// Ports: `"60000-60100"`, or a list in the file.
    pub(crate) fn ports(&self) -> Result<Vec<u16>, String> {
        let list = match self {
            Self::Text(text) => return port_range(text),
            Self::Toml(DeValue::String(text)) => return port_range(text),
            Self::Toml(DeValue::Array(list)) => list,
            _ => return Err(self.must_be("a range such as \"60000-60100\" or a list of ports")),
        };
        let mut ports = Vec::with_capacity(list.len());
        for item in list.iter() {
            let DeValue::Integer(integer) = item.get_ref() else {
                let item = Value::Toml(item.get_ref());
                return Err(format!("each port {}", item.must_be("an integer")));
            };
            let port = integer_of(integer).and_then(|port| u16::try_from(port).ok());
            match port {
                None | Some(0) => return Err(BAD_PORT.to_owned()),
                Some(port) => ports.push(port),
            }
        }
        // Twice the same port would only be tried twice.
        ports.sort_unstable();
        ports.dedup();
        Ok(ports)
    }

    /// Text by address.
    pub(crate) fn address_map(&self) -> Result<HashMap<IpAddr, String>, String> {
        let Self::Toml(DeValue::Table(table)) = self else {
            return Err(self.must_be("a table of addresses"));
        };
        let mut map = HashMap::with_capacity(table.len());
        for (key, value) in table.iter() {
            let key = key.get_ref();
            let address = IpAddr::from_str(key)
                .map_err(|_| format!("'{key}' is not an address of this host"))?;
            let text = Value::Toml(value.get_ref()).text();
            let text = text.map_err(|err| format!("the value of '{key}' {err}"))?;
            map.insert(address, text);
        }
        Ok(map)
    }

    /// The files of certificates: `[[tls.certificates]]`.
    pub(super) fn cert_files(&self, base: &Path) -> Result<Vec<CertFiles>, String> {
        let Self::Toml(DeValue::Array(list)) = self else {
            return Err("must be a list of tables: [[tls.certificates]]".to_owned());
        };
        let mut files = Vec::with_capacity(list.len());
        for item in list.iter() {
            let DeValue::Table(table) = item.get_ref() else {
                let item = Value::Toml(item.get_ref());
                return Err(format!("each certificate {}", item.must_be("a table")));
            };
            let path = |key| {
                let value = table.get(key).map(|value| Value::Toml(value.get_ref()));
                let path = value.map(|value| value.path(base)).transpose();
                path.map_err(|text| format!("{key} {text}"))
            };
            let known = ["certfile", "keyfile"];
            if let Some(key) = table
                .keys()
                .find(|key| !known.contains(&key.get_ref().as_ref()))
            {
                return Err(format!("unknown key '{}'", key.get_ref()));
            }
            files.push(CertFiles {
                certfile: path("certfile")?.ok_or("each certificate has a certfile")?,
                keyfile: path("keyfile")?,
            });
        }
        Ok(files)
    }

    /// `must be a string, not an integer`: a value is of the wrong type.
    pub(super) fn must_be(&self, expected: &str) -> String {
        let found = match self {
            Self::Text(text) => return format!("must be {expected}, not '{text}'"),
            Self::Switch(_) => "boolean",
            Self::Toml(value) => value.type_str(),
        };
        let article = if found.starts_with(['a', 'e', 'i', 'o', 'u']) {
            "an"
        } else {
            "a"
        };
        format!("must be {expected}, not {article} {found}")
    }
}

/// The ports of `FROM-TO`.
fn port_range(text: &str) -> Result<Vec<u16>, String> {
    let is_number = |s: &&str| !s.is_empty() && s.bytes().all(|byte| byte.is_ascii_digit());
    let (from, to) = match text.split_once('-') {
        Some((from, to)) => (Some(from.trim()), Some(to.trim())),
        None => (None, None),
    };
    let (Some(from), Some(to)) = (from.filter(is_number), to.filter(is_number)) else {
        return Err(format!("invalid port range: '{text}' (expected FROM-TO)"));
    };
    // Digits alone: what does not fit is too large.
    let (Ok(from @ 1..), Ok(to @ 1..)) = (from.parse::<u16>(), to.parse::<u16>()) else {
        return Err(BAD_PORT.to_owned());
    };
    if from >= to {
        return Err(format!("start port must be <= stop port (got {from}-{to})"));
    }
    Ok((from..=to).collect())
}

/// The number of an integer of TOML, the nearest there is if it is too large.
fn integer_of(integer: &DeInteger<'_>) -> Option<i64> {
    match i64::from_str_radix(integer.as_str(), integer.radix()) {
        Ok(number) => Some(number),
        Err(_) if integer.as_str().starts_with('-') => Some(i64::MIN),
        Err(_) => Some(i64::MAX),
    }
}

fn parse_or_saturate(text: &str) -> Option<i64> {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    match text.trim().parse::<i64>() {
        Ok(number) => Some(number),
        Err(err) if *err.kind() == PosOverflow => Some(i64::MAX),
        Err(err) if *err.kind() == NegOverflow => Some(i64::MIN),
        Err(_) => None,
    }
}

const BAD_PORT: &str = "port numbers must be between 1 and 65535";
/// Some thirty years; more is a slip of the pen, and sums of times must not overflow.
const MAX_SECONDS: f64 = 1e9;
const LEAST: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    /// What a setting would be told of a value of the file.
    fn toml<T>(text: &str, read: impl FnOnce(&Value<'_>) -> T) -> T {
        let value = DeValue::parse(text).unwrap();
        read(&Value::Toml(value.get_ref()))
    }

    #[test]
    fn integers_have_bounds() {
        let port = |value: &Value<'_>| value.integer::<u16>(0..=65_535);
        assert_eq!(toml("2_121", port), Ok(2121));
        assert_eq!(toml("0x15", port), Ok(21));
        assert_eq!(port(&Value::Text("65535")), Ok(65_535));
        let text = "must be between 0 and 65535 (got -1)";
        assert_eq!(toml("-1", port), Err(text.into()));
        assert_eq!(port(&Value::Text("-1")), Err(text.into()));
        let huge = "9".repeat(40);
        for value in [huge.clone(), format!("-{huge}")] {
            assert!(toml(&value, port).is_err());
            assert!(port(&Value::Text(&value)).is_err());
        }
        assert_eq!(
            toml("2.0", port),
            Err("must be an integer, not a float".into())
        );
        assert_eq!(
            port(&Value::Text("")),
            Err("must be an integer, not ''".into())
        );
        let limit = |value: &Value<'_>| value.integer::<u64>(0..=i64::MAX);
        assert_eq!(toml("-5", limit), Err("must be 0 or more (got -5)".into()));
    }

    #[test]
    fn times_are_numbers_of_seconds() {
        let time = |text: &str| toml(text, |v| v.time());
        assert_eq!(time("3"), Ok(Duration::from_secs(3)));
        assert_eq!(time("0.25"), Ok(Duration::from_millis(250)));
        assert_eq!(time("0"), Ok(Duration::ZERO));
        assert_eq!(time("1e-30"), Ok(Duration::from_millis(1)));
        for wrong in [
            "-1",
            "-0.1",
            "nan",
            "inf",
            "-inf",
            "1e10",
            "99999999999",
            "\"3\"",
            "true",
        ] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
        assert_eq!(toml("0", |v| v.timeout()), Ok(None));
        assert_eq!(toml("0.0", |v| v.timeout()), Ok(None));
        assert_eq!(toml("-0.0", |v| v.timeout()), Ok(None));
        let flag = |text| Value::Text(text).timeout();
        assert_eq!(flag("300"), Ok(Some(Duration::from_secs(300))));
        for wrong in ["", "x", "nan", "-1", "1 s"] {
            assert!(flag(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ports_are_a_range_or_a_list() {
        let ports = |text: &str| toml(text, |v| v.ports());
        assert_eq!(ports("\"60000-60002\""), Ok(vec![60_000, 60_001, 60_002]));
        assert_eq!(Value::Text(" 1 - 2 ").ports(), Ok(vec![1, 2]));
        assert_eq!(ports("[3, 1, 3]"), Ok(vec![1, 3]));
        assert_eq!(ports("[]"), Ok(vec![]));
        assert_eq!(ports("\"1-65535\"").map(|ports| ports.len()), Ok(65_535));
        for wrong in [
            "[0]",
            "[65536]",
            "[-1]",
            "\"0-5\"",
            "\"1-65536\"",
            "\"1-99999999999\"",
        ] {
            assert_eq!(ports(wrong), Err(BAD_PORT.into()), "{wrong}");
        }
        for wrong in ["", "5", "-", "1-", "-2", "a-b", "1-2-3", "+1-2"] {
            let text = format!("invalid port range: '{wrong}' (expected FROM-TO)");
            assert_eq!(Value::Text(wrong).ports(), Err(text));
        }
        let text = "start port must be <= stop port (got 5-5)";
        assert_eq!(Value::Text("5-5").ports(), Err(text.into()));
        let text = "each port must be an integer, not a string";
        assert_eq!(ports("[\"5\"]"), Err(text.into()));
        assert!(ports("5").is_err());
    }

    #[test]
    fn switches_stand_for_booleans() {
        assert_eq!(Value::Switch(false).boolean(), Ok(false));
        assert_eq!(toml("true", |v| v.boolean()), Ok(true));
        assert!(toml("1", |v| v.boolean()).is_err());
    }

    #[test]
    fn addresses_have_addresses() {
        let map = |text: &str| toml(text, |v| v.address_map());
        let expected = HashMap::from([(IpAddr::from([10, 0, 0, 1]), "192.0.2.1".to_owned())]);
        assert_eq!(map(r#"{ "10.0.0.1" = "192.0.2.1" }"#), Ok(expected));
        for wrong in [r#"{ "localhost" = "x" }"#, r#"{ "::1" = 5 }"#, "5"] {
            assert!(map(wrong).is_err(), "{wrong}");
        }
    }
}
