//! The values of settings, and the kinds of values there are.
//!
//! A value comes from the file and has a type, or from the command line and is text.
//! Errors say what is wrong; the caller knows the name of the setting and adds it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::IntErrorKind::{NegOverflow, PosOverflow};
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use ftpdlib::CertFiles;
use toml::Spanned;
use toml::de::{DeInteger, DeString, DeTable, DeValue};

/// A value for a setting.
#[derive(Debug)]
pub(crate) enum Value<'a> {
    /// The value of an option.
    Text(&'a str),
    /// What an option without a value stands for.
    Switch(bool),
    /// A value of the file.
    Toml(&'a DeValue<'a>),
}

/// What is wrong with a value, and which part of the value is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ValueError {
    pub(super) text: String,
    /// The bytes of the file with the wrong part; `None` means the whole value.
    pub(super) at: Option<Range<usize>>,
}

impl From<String> for ValueError {
    fn from(text: String) -> Self {
        Self { text, at: None }
    }
}

impl From<&str> for ValueError {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl ValueError {
    /// The same about the value of `name` within a table or an array.
    fn within<T>(self, name: &str, part: &Spanned<T>) -> Self {
        Self {
            text: format!("{name} {}", self.text),
            at: self.at.or_else(|| Some(part.span())),
        }
    }

    fn at<T>(text: String, part: &Spanned<T>) -> Self {
        let at = Some(part.span());
        Self { text, at }
    }
}

impl Value<'_> {
    /// Any text.
    pub(crate) fn text(&self) -> Result<String, ValueError> {
        match self {
            Self::Text(text) => Ok((*text).to_owned()),
            Self::Toml(DeValue::String(text)) => Ok(text.as_ref().to_owned()),
            _ => Err(self.must_be("a string").into()),
        }
    }

    /// Text with at least one character.
    pub(crate) fn name(&self) -> Result<String, ValueError> {
        match self.text()? {
            text if text.is_empty() => Err("must not be empty".into()),
            text => Ok(text),
        }
    }

    /// A name, or a number as the system gives it to users and groups.
    pub(crate) fn name_or_number(&self) -> Result<String, ValueError> {
        match self {
            Self::Toml(DeValue::Integer(_)) => {
                let number = self.integer::<u32>(0..=i64::from(u32::MAX) - 1);
                number.map(|number| number.to_string())
            }
            Self::Text(_) | Self::Toml(DeValue::String(_)) => self.name(),
            _ => Err(self.must_be("a name or a number").into()),
        }
    }

    /// A path. A relative path in the file refers to `base`.
    pub(crate) fn path(&self, base: &Path) -> Result<PathBuf, ValueError> {
        let path = self.name()?;
        match self {
            Self::Text(_) => Ok(PathBuf::from(path)),
            _ => Ok(base.join(path)),
        }
    }

    /// What one of several words stands for.
    pub(crate) fn one_of<T: Copy>(&self, words: &[(&str, T)]) -> Result<T, ValueError> {
        let text = self.text()?;
        let found = words.iter().find(|(word, _)| *word == text);
        found.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let words: Vec<_> = words.iter().map(|(word, _)| format!("'{word}'")).collect();
            format!("must be one of {}, not '{text}'", words.join(", ")).into()
        })
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&self) -> Result<bool, ValueError> {
        match self {
            Self::Switch(on) | Self::Toml(DeValue::Boolean(on)) => Ok(*on),
            _ => Err(self.must_be("true or false").into()),
        }
    }

    /// An integer in a range.
    pub(crate) fn integer<T: TryFrom<i64>>(
        &self,
        range: RangeInclusive<i64>,
    ) -> Result<T, ValueError> {
        let (number, text) = match self {
            Self::Text(text) => (parse_or_saturate(text), text.to_string()),
            Self::Toml(DeValue::Integer(integer)) => (integer_of(integer), integer.to_string()),
            _ => return Err(self.must_be("an integer").into()),
        };
        let Some(number) = number else {
            return Err(format!("must be an integer, not '{text}'").into());
        };
        let in_range = range.contains(&number);
        match T::try_from(number) {
            Ok(value) if in_range => Ok(value),
            _ if *range.end() == i64::MAX => {
                Err(format!("must be {} or more (got {text})", range.start()).into())
            }
            _ => {
                let (min, max) = range.into_inner();
                Err(format!("must be between {min} and {max} (got {text})").into())
            }
        }
    }

    /// A number of seconds, integer or not.
    pub(crate) fn time(&self) -> Result<Duration, ValueError> {
        let (seconds, text) = match self {
            Self::Text(text) => (text.trim().parse::<f64>().ok(), text.to_string()),
            Self::Toml(DeValue::Float(float)) => (float.as_str().parse().ok(), float.to_string()),
            Self::Toml(DeValue::Integer(integer)) => {
                (integer.to_string().parse().ok(), integer.to_string())
            }
            _ => return Err(self.must_be("a number of seconds").into()),
        };
        let seconds =
            seconds.ok_or_else(|| format!("must be a number of seconds, not '{text}'"))?;
        // The range does not contain NaN.
        if !(0.0..=MAX_SECONDS).contains(&seconds) {
            let text = format!("must be between 0 and {MAX_SECONDS} seconds (got {text})");
            return Err(text.into());
        }
        let time = Duration::from_secs_f64(seconds);
        // A very short time must not become 0, which may mean "never".
        let min = if seconds > 0.0 {
            MIN_TIME
        } else {
            Duration::ZERO
        };
        Ok(time.max(min))
    }

    /// A number of seconds, where 0 means "never".
    pub(crate) fn timeout(&self) -> Result<Option<Duration>, ValueError> {
        let time = self.time()?;
        Ok((!time.is_zero()).then_some(time))
    }

    /// A number of seconds that must not be 0.
    pub(crate) fn time_above_0(&self) -> Result<Duration, ValueError> {
        let time = self.timeout()?;
        time.ok_or_else(|| "must be greater than 0".into())
    }

    /// Ports: `"60000-60100"`, or a list of integers in the file.
    pub(crate) fn ports(&self) -> Result<Vec<u16>, ValueError> {
        let list = match self {
            Self::Text(text) => return port_range(text),
            Self::Toml(DeValue::String(text)) => return port_range(text),
            Self::Toml(DeValue::Array(list)) => list,
            _ => {
                let expected = "a range such as \"60000-60100\" or a list of ports";
                return Err(self.must_be(expected).into());
            }
        };
        let mut ports = Vec::with_capacity(list.len());
        for item in list.iter() {
            let DeValue::Integer(integer) = item.get_ref() else {
                let wrong = Value::Toml(item.get_ref()).must_be("an integer");
                return Err(ValueError::at(format!("each port {wrong}"), item));
            };
            let port = integer_of(integer).and_then(|port| u16::try_from(port).ok());
            match port {
                None | Some(0) => {
                    return Err(ValueError::at(format!("{BAD_PORT} (got {integer})"), item));
                }
                Some(port) => ports.push(port),
            }
        }
        // A port that occurs twice would only be tried twice.
        ports.sort_unstable();
        ports.dedup();
        Ok(ports)
    }

    /// A list of texts, each of which `read` understands. `what` is what they are, as errors say
    /// it.
    pub(crate) fn list<T>(
        &self,
        what: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Vec<T>, ValueError> {
        let Self::Toml(DeValue::Array(list)) = self else {
            return Err(self.must_be(&format!("a list of {what}s")).into());
        };
        if list.len() > LIST_MAX {
            return Err(format!("must have at most {LIST_MAX} {what}s").into());
        }
        let item = |item: &Spanned<DeValue<'_>>| {
            let text = Value::Toml(item.get_ref()).text();
            let text = text.map_err(|err| err.within(&format!("each {what}"), item))?;
            read(&text).map_err(|text| ValueError::at(text, item))
        };
        list.iter().map(item).collect()
    }

    /// A table of texts whose keys are IP addresses.
    pub(crate) fn address_map(&self) -> Result<HashMap<IpAddr, String>, ValueError> {
        let Self::Toml(DeValue::Table(table)) = self else {
            return Err(self.must_be("a table of addresses").into());
        };
        let mut map = HashMap::with_capacity(table.len());
        for (key, value) in table.iter() {
            let name = key.get_ref();
            let address = IpAddr::from_str(name)
                .map_err(|_| ValueError::at(format!("'{name}' is not an IP address"), key))?;
            let text = Value::Toml(value.get_ref()).text();
            let text = text.map_err(|err| err.within(&format!("the value of '{name}'"), value))?;
            map.insert(address, text);
        }
        Ok(map)
    }

    /// The files of certificates: `[[tls.certificates]]`.
    pub(crate) fn cert_files(&self, base: &Path) -> Result<Vec<CertFiles>, ValueError> {
        let Self::Toml(DeValue::Array(list)) = self else {
            return Err("must be a list of tables: [[tls.certificates]]".into());
        };
        let mut files = Vec::with_capacity(list.len());
        for item in list.iter() {
            let DeValue::Table(table) = item.get_ref() else {
                let wrong = Value::Toml(item.get_ref()).must_be("a table");
                return Err(ValueError::at(format!("each certificate {wrong}"), item));
            };
            files.push(cert_files_of(table, item, base)?);
        }
        Ok(files)
    }

    /// `must be a string, not an integer`: the value has the wrong type.
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

/// The files that one `[[tls.certificates]]` names.
fn cert_files_of(
    table: &DeTable<'_>,
    item: &Spanned<DeValue<'_>>,
    base: &Path,
) -> Result<CertFiles, ValueError> {
    let is_known = |key: &DeString<'_>| ["certfile", "keyfile"].contains(&key.as_ref());
    if let Some(key) = table.keys().find(|key| !is_known(key.get_ref())) {
        let name = key.get_ref();
        let text = format!("unknown key '{name}'; each certificate has certfile, keyfile");
        return Err(ValueError::at(text, key));
    }
    let path = |key| {
        let Some(value) = table.get(key) else {
            return Ok(None);
        };
        let path = Value::Toml(value.get_ref()).path(base);
        path.map(Some).map_err(|err| err.within(key, value))
    };
    let certfile = path("certfile")?.ok_or_else(|| {
        let text = "each certificate needs the key certfile".to_owned();
        ValueError::at(text, item)
    })?;
    let keyfile = path("keyfile")?;
    Ok(CertFiles { certfile, keyfile })
}

/// The ports of `FROM-TO`.
fn port_range(text: &str) -> Result<Vec<u16>, ValueError> {
    let is_number = |s: &&str| !s.is_empty() && s.bytes().all(|byte| byte.is_ascii_digit());
    let (from, to) = match text.split_once('-') {
        Some((from, to)) => (Some(from.trim()), Some(to.trim())),
        None => (None, None),
    };
    let (Some(from), Some(to)) = (from.filter(is_number), to.filter(is_number)) else {
        return Err(format!("invalid port range: '{text}' (expected FROM-TO)").into());
    };
    // Both are digits only, so a number that cannot be parsed is too large.
    let (Ok(from @ 1..), Ok(to @ 1..)) = (from.parse::<u16>(), to.parse::<u16>()) else {
        return Err(format!("{BAD_PORT} (got {from}-{to})").into());
    };
    if from > to {
        return Err(format!("start port must not be above stop port (got {from}-{to})").into());
    }
    Ok((from..=to).collect())
}

/// The number of a TOML integer, or the nearest `i64` if the number does not fit.
fn integer_of(integer: &DeInteger<'_>) -> Option<i64> {
    match i64::from_str_radix(integer.as_str(), integer.radix()) {
        Ok(number) => Some(number),
        Err(err) if *err.kind() == NegOverflow => Some(i64::MIN),
        Err(err) if *err.kind() == PosOverflow => Some(i64::MAX),
        Err(_) => None,
    }
}

/// The number that `text` is, or the nearest `i64` if the number does not fit.
fn parse_or_saturate(text: &str) -> Option<i64> {
    match text.trim().parse::<i64>() {
        Ok(number) => Some(number),
        Err(err) if *err.kind() == PosOverflow => Some(i64::MAX),
        Err(err) if *err.kind() == NegOverflow => Some(i64::MIN),
        Err(_) => None,
    }
}

/// The most items of a list, each of which is compared with each name or address.
const LIST_MAX: usize = 1000;

const BAD_PORT: &str = "port numbers must be between 1 and 65535";
/// About thirty years. A longer time is a mistake, and sums of times must not overflow.
const MAX_SECONDS: f64 = 1e9;
const MIN_TIME: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a value as the file has it.
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
        // The parser accepts a prefix without digits.
        let text = "must be an integer, not '0x'";
        assert_eq!(toml("0x", limit), Err(text.into()));
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
        for (wrong, got) in [
            ("[0]", "0"),
            ("[1, 65536]", "65536"),
            ("[-1]", "-1"),
            ("\"0-5\"", "0-5"),
            ("\"1-65536\"", "1-65536"),
            ("\"1-99999999999\"", "1-99999999999"),
        ] {
            let text = format!("port numbers must be between 1 and 65535 (got {got})");
            assert_eq!(ports(wrong).unwrap_err().text, text, "{wrong}");
        }
        for wrong in ["", "5", "-", "1-", "-2", "a-b", "1-2-3", "+1-2"] {
            let text = format!("invalid port range: '{wrong}' (expected FROM-TO)");
            assert_eq!(Value::Text(wrong).ports(), Err(text.into()));
        }
        let text = "start port must not be above stop port (got 6-5)";
        assert_eq!(Value::Text("6-5").ports(), Err(text.into()));
        assert_eq!(Value::Text("60123-60123").ports(), Ok(vec![60_123]));
        assert_eq!(ports("\"60123-60123\""), Ok(vec![60_123]));
        assert_eq!(Value::Text("65535-65535").ports(), Ok(vec![65_535]));
        let text = "each port must be an integer, not a string";
        assert_eq!(ports("[\"5\"]").unwrap_err().text, text);
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
