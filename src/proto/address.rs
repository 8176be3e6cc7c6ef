//! Addresses, numbers and times in arguments and replies.
//!
//! Numbers are parsed as by Python's `int()`, since clients of pyftpdlib may rely on that: blanks
//! around the number and a sign are allowed. Digits are ASCII only. Whether the server may connect
//! to an address is not decided here.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::reply::Reply;

/// The error of a malformed argument of PORT or EPRT. The reply is 501.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidAddress;

impl fmt::Display for InvalidAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid address")
    }
}

impl std::error::Error for InvalidAddress {}

/// Parses the argument of PORT, `h1,h2,h3,h4,p1,p2` (RFC 959 §4.1.2).
///
/// The port is `p1 * 256 + p2`. As in pyftpdlib, only the sum must be in the range of a port.
///
/// # Errors
/// [`InvalidAddress`] unless there are six integers in range.
pub fn parse_port(arg: &[u8]) -> Result<SocketAddrV4, InvalidAddress> {
    let mut fields = [0_i64; 6];
    let mut parts = arg.split(|&byte| byte == b',');
    for field in &mut fields {
        *field = parts.next().and_then(parse_int).ok_or(InvalidAddress)?;
    }
    if parts.next().is_some() {
        return Err(InvalidAddress);
    }
    let [h1, h2, h3, h4, p1, p2] = fields;
    let port = p1.checked_mul(256).and_then(|high| high.checked_add(p2));
    let port = port.and_then(|port| u16::try_from(port).ok());
    let ip = octets([h1, h2, h3, h4])?;
    Ok(SocketAddrV4::new(ip, port.ok_or(InvalidAddress)?))
}

/// The network protocol: the first field of the argument of EPRT (RFC 2428 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EprtProto {
    /// `1`: IPv4.
    V4,
    /// `2`: IPv6.
    V6,
    /// Any other text. The reply is 501 with the number of the right protocol.
    Other,
}

/// The fields of the argument of EPRT. The host is still text, because a wrong protocol is replied
/// to before a wrong host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eprt {
    /// The network protocol.
    pub proto: EprtProto,
    /// The address as the client sent it.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Eprt {
    /// Parses the host as an address of the protocol: four decimal octets, or any spelling of an
    /// IPv6 address without a scope.
    ///
    /// # Errors
    /// [`InvalidAddress`] if the host is no such address, or if the protocol is unknown.
    pub fn ip(&self) -> Result<IpAddr, InvalidAddress> {
        match self.proto {
            EprtProto::V4 => {
                let mut fields = [0_i64; 4];
                let mut parts = self.host.split('.');
                for field in &mut fields {
                    let part = parts.next().ok_or(InvalidAddress)?;
                    *field = parse_int(part.as_bytes()).ok_or(InvalidAddress)?;
                }
                match parts.next() {
                    None => Ok(IpAddr::V4(octets(fields)?)),
                    Some(_) => Err(InvalidAddress),
                }
            }
            EprtProto::V6 => {
                let ip: Result<Ipv6Addr, _> = self.host.parse();
                ip.map(IpAddr::V6).map_err(|_| InvalidAddress)
            }
            EprtProto::Other => Err(InvalidAddress),
        }
    }
}

/// Parses the argument of EPRT, `<d>proto<d>host<d>port<d>` with any character as `<d>`
/// (RFC 2428 §2). Text after the last `<d>` is ignored, as in pyftpdlib.
///
/// # Errors
/// [`InvalidAddress`] unless there are three fields and the third one is a port.
pub fn parse_eprt(arg: &[u8]) -> Result<Eprt, InvalidAddress> {
    let text = String::from_utf8_lossy(arg);
    let delimiter = text.chars().next().ok_or(InvalidAddress)?;
    let mut fields = text.split(delimiter).skip(1);
    let mut field = || fields.next().ok_or(InvalidAddress);
    let (proto, host, port) = (field()?, field()?, field()?);
    // The part after the fourth delimiter, and there is no fifth.
    field()?;
    if fields.next().is_some() {
        return Err(InvalidAddress);
    }
    let port = parse_int(port.as_bytes()).and_then(|port| u16::try_from(port).ok());
    Ok(Eprt {
        proto: match proto {
            "1" => EprtProto::V4,
            "2" => EprtProto::V6,
            _ => EprtProto::Other,
        },
        host: host.to_owned(),
        port: port.ok_or(InvalidAddress)?,
    })
}

/// Formats the reply to PASV (RFC 959 §4.2):
/// `227 Entering passive mode (h1,h2,h3,h4,p1,p2).`
///
/// The dots of `host` become commas, and nothing else is checked: a masquerade address may be a text
/// that only the client's side understands.
#[must_use]
pub fn format_227(host: &str, port: u16) -> Reply {
    let [high, low] = port.to_be_bytes();
    let host = host.replace('.', ",");
    let text = format!("Entering passive mode ({host},{high},{low}).");
    Reply::with(227, text)
}

/// Formats the reply to EPSV (RFC 2428 §3): `229 Entering extended passive mode (|||port|).`
#[must_use]
pub fn format_229(port: u16) -> Reply {
    let text = format!("Entering extended passive mode (|||{port}|).");
    Reply::with(229, text)
}

/// Turns the address `::ffff:a.b.c.d`, by which a dual-stack socket shows an IPv4 client, into
/// `a.b.c.d`. Two addresses can be compared after that. Other addresses stay as they are.
#[must_use]
pub fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// An argument of REST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offset {
    /// The position to begin at, in bytes; at most `i64::MAX`, which is the end of any file.
    pub position: u64,
    /// The number as pyftpdlib shows it in its reply 350, however large it is.
    pub text: String,
}

/// Parses the argument of REST, an offset in bytes (RFC 3659 §5.3).
///
/// As in pyftpdlib any number that is not negative is valid, even one that is larger than a file can
/// be: the transfer then fails or is empty.
#[must_use]
pub fn parse_offset(arg: &[u8]) -> Option<Offset> {
    let (negative, digits) = split_int(arg)?;
    let zeros = digits.iter().take_while(|&&digit| digit == b'0').count();
    let digits = digits.get(zeros..).unwrap_or_default();
    if digits.is_empty() {
        return Some(Offset {
            position: 0,
            text: "0".to_owned(),
        });
    }
    if negative {
        return None;
    }
    let text: String = digits.iter().map(|&digit| char::from(digit)).collect();
    let position = text.parse::<i64>().unwrap_or(i64::MAX).unsigned_abs();
    Some(Offset { position, text })
}

/// Parses the mode of SITE CHMOD: three or four octal digits, 0777 at most.
#[must_use]
pub fn parse_mode(arg: &[u8]) -> Option<u32> {
    let has_form = matches!(arg.len(), 3 | 4) && arg.iter().all(u8::is_ascii_digit);
    let text = str::from_utf8(arg).ok().filter(|_| has_form)?;
    let mode = u32::from_str_radix(text, 8).ok()?;
    (mode <= 0o777).then_some(mode)
}

/// Parses the time of MFMT, `YYYYMMDDHHMMSS` in UTC (RFC 3659 §2.3), and returns it as seconds since
/// 1970.
///
/// It must be a real date of the years 1 to 9999. A fraction, a dot and digits, is dropped. Second
/// 60, a leap second, becomes second 0 of the next minute.
#[must_use]
pub fn parse_timeval(arg: &[u8]) -> Option<i64> {
    let is_number = |digits: &[u8]| digits.iter().all(u8::is_ascii_digit);
    let (arg, fraction) = arg.split_at_checked("YYYYMMDDHHMMSS".len())?;
    let is_fraction = match fraction {
        [] => true,
        [b'.', digits @ ..] => !digits.is_empty() && is_number(digits),
        _ => false,
    };
    if !is_number(arg) || !is_fraction {
        return None;
    }
    let digits = arg.iter().map(|digit| i16::from(digit - b'0'));
    let mut digits = digits.into_iter();
    let mut year = 0;
    for digit in digits.by_ref().take(4) {
        year = year * 10 + digit;
    }
    let mut two = || {
        let (tens, ones) = (digits.next()?, digits.next()?);
        i8::try_from(tens * 10 + ones).ok()
    };
    let (month, day) = (two()?, two()?);
    let (hour, minute, second) = (two()?, two()?, two()?);
    if year < 1 {
        return None;
    }
    let leap = i64::from(second == 60);
    let second = if second == 60 { 59 } else { second };
    let time = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    let seconds = time.duration_since(EPOCH).as_secs() + leap;
    // The minute after the last one has no time-val.
    (seconds <= LAST_TIMEVAL).then_some(seconds)
}

/// Formats seconds since 1970 as `YYYYMMDDHHMMSS`, for MDTM, MFMT and MLSx (RFC 3659 §2.3): in UTC
/// if `gmt` is true, else in the time zone of the system.
///
/// `None` for times outside the years 1 to 9999.
#[must_use]
pub fn format_timeval(seconds: i64, gmt: bool) -> Option<String> {
    let time = if gmt {
        EPOCH.checked_add(SignedDuration::from_secs(seconds)).ok()?
    } else {
        let instant = Timestamp::from_second(seconds).ok()?;
        TimeZone::system().to_datetime(instant)
    };
    if time.year() < 1 {
        return None;
    }
    Some(format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}",
        time.year(),
        time.month(),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    ))
}

/// The last second of the year 9999.
const LAST_TIMEVAL: i64 = 253_402_300_799;

const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

fn octets(fields: [i64; 4]) -> Result<Ipv4Addr, InvalidAddress> {
    let mut octets = [0; 4];
    for (octet, field) in octets.iter_mut().zip(fields) {
        *octet = u8::try_from(field).map_err(|_| InvalidAddress)?;
    }
    Ok(Ipv4Addr::from(octets))
}

/// Parses an integer in Python's spelling. `None` also for integers of more than 64 bits, which are
/// out of every range here.
fn parse_int(text: &[u8]) -> Option<i64> {
    let (negative, digits) = split_int(text)?;
    digits.iter().try_fold(0_i64, |value, digit| {
        let digit = i64::from(digit - b'0');
        let digit = if negative { -digit } else { digit };
        value.checked_mul(10)?.checked_add(digit)
    })
}

/// Splits an integer in Python's spelling: whether it has a minus, and its digits, at least one.
fn split_int(text: &[u8]) -> Option<(bool, &[u8])> {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r' | 0x1c..=0x1f);
    let start = text.iter().position(|byte| !is_blank(byte))?;
    let end = text.iter().rposition(|byte| !is_blank(byte))?;
    let text = text.get(start..=end)?;
    let (negative, digits) = match text.split_first()? {
        (b'-', digits) => (true, digits),
        (b'+', digits) => (false, digits),
        _ => (false, text),
    };
    (!digits.is_empty() && digits.iter().all(u8::is_ascii_digit)).then_some((negative, digits))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn port_arguments() {
        let good = |arg: &str| parse_port(arg.as_bytes()).unwrap().to_string();
        assert_eq!(good("127,0,0,1,4,1"), "127.0.0.1:1025");
        assert_eq!(good(" 127, 0,+0,01 ,0,65535"), "127.0.0.1:65535");
        assert_eq!(good("1,2,3,4,-1,300"), "1.2.3.4:44");
        for bad in [
            "",
            "127,0,0,1",
            "127,0,0,1,1",
            "127,0,0,1,1,1,1",
            "127,0,0,1,1,a",
            "127,0,0,256,1,1",
            "127,0,0,-1,1,1",
            "127,0,0,1,256,0",
            "127,0,0,1,0,-1",
            "127,0,0,1,1_0,1",
            "127,0,0,1,+,1",
            "127,0,0,1,- 1,1",
            "1,2,3,4,9223372036854775807,9223372036854775807",
            "1,2,3,4,99999999999999999999,1",
            "1,2,3,4,1,\u{661}",
        ] {
            assert_eq!(parse_port(bad.as_bytes()), Err(InvalidAddress), "{bad}");
        }
    }

    #[test]
    fn eprt_arguments() {
        let good = |arg: &str| parse_eprt(arg.as_bytes()).unwrap();
        let v4 = good("|1|127.0.0.1|2222|");
        assert_eq!((v4.proto, v4.port), (EprtProto::V4, 2222));
        assert_eq!(v4.ip(), Ok(IpAddr::from([127, 0, 0, 1])));
        let v6 = good("!2!0:0:0:0:0:0:0:1! 21 !junk");
        assert_eq!(v6.ip(), Ok(IpAddr::V6(Ipv6Addr::LOCALHOST)));
        assert_eq!(v6.port, 21);
        assert_eq!(good("\u{e9}1\u{e9}h\u{e9}1\u{e9}").host, "h");
        let other = good("|3|x|1|");
        assert_eq!(
            (other.proto, other.ip()),
            (EprtProto::Other, Err(InvalidAddress))
        );
        for bad in [
            "",
            "|",
            "|||",
            "1",
            "|1|127.0.0.1|2222",
            "|1|127.0.0.1|2222||",
            "|1|127.0.0.1|65536|",
            "|1|127.0.0.1|-1|",
            "|1|127.0.0.1||",
        ] {
            assert_eq!(parse_eprt(bad.as_bytes()), Err(InvalidAddress), "{bad}");
        }
        for bad in [
            "|1|127.0.0|1|",
            "|1|127.0.0.1.1|1|",
            "|1|127.0.0.256|1|",
            "|1|::1|1|",
            "|2|127.0.0.1|1|",
            "|2|fe80::1%eth0|1|",
            "|2||1|",
        ] {
            assert_eq!(good(bad).ip(), Err(InvalidAddress), "{bad}");
        }
    }

    #[test]
    fn passive_replies() {
        assert_eq!(
            format_227("127.0.0.1", 65534).to_string(),
            "227 Entering passive mode (127,0,0,1,255,254)."
        );
        assert_eq!(
            format_227("ftp.example", 1).to_string(),
            "227 Entering passive mode (ftp,example,0,1)."
        );
        assert_eq!(
            format_229(2121).to_string(),
            "229 Entering extended passive mode (|||2121|)."
        );
        assert_eq!(
            canonical("::ffff:1.2.3.4".parse().unwrap()),
            IpAddr::from([1, 2, 3, 4])
        );
    }

    #[test]
    fn offsets() {
        let good = |arg: &str| parse_offset(arg.as_bytes()).map(|it| (it.position, it.text));
        for (arg, position, text) in [
            ("0", 0, "0"),
            ("-0", 0, "0"),
            (" +007 ", 7, "7"),
            (
                "9223372036854775807",
                9_223_372_036_854_775_807,
                "9223372036854775807",
            ),
            (
                "99999999999999999999",
                9_223_372_036_854_775_807,
                "99999999999999999999",
            ),
        ] {
            assert_eq!(good(arg), Some((position, text.to_owned())), "{arg}");
        }
        for bad in ["", " ", "-1", "1.5", "1 2", "x", "1_0", "0x10", "\u{661}"] {
            assert_eq!(good(bad), None, "{bad}");
        }
    }

    #[test]
    fn modes() {
        assert_eq!(parse_mode(b"755"), Some(0o755));
        assert_eq!(parse_mode(b"0777"), Some(0o777));
        assert_eq!(parse_mode(b"0000"), Some(0));
        for bad in [&b""[..], b"75", b"07555", b"758", b"-55", b" 755"] {
            assert_eq!(parse_mode(bad), None);
        }
    }

    #[test]
    fn times() {
        for (text, seconds) in [
            ("19700101000000", 0),
            ("20200229123456", 1_582_979_696),
            ("19691231235959", -1),
            ("00010101000000", -62_135_596_800),
            ("99991231235959", 253_402_300_799),
        ] {
            assert_eq!(parse_timeval(text.as_bytes()), Some(seconds), "{text}");
            assert_eq!(format_timeval(seconds, true).as_deref(), Some(text));
        }
        for (text, expected) in [
            ("20200101000060", "20200101000100"),
            ("20161231235960", "20170101000000"),
            ("20200228235960", "20200229000000"),
            ("20200101000059.999999999", "20200101000059"),
            ("20200101000060.5", "20200101000100"),
            ("19691231235959.0", "19691231235959"),
        ] {
            let seconds = parse_timeval(text.as_bytes()).unwrap();
            assert_eq!(format_timeval(seconds, true).as_deref(), Some(expected));
        }
        for bad in [
            "",
            "2020022912345",
            "202002291234567",
            "00000101000000",
            "20210229000000",
            "20201301000000",
            "20200101240000",
            "20200101000061",
            "99991231235960",
            "20200101000000.",
            "20200101000000.x",
            "20200101000000.5x",
            "20200101000000,5",
            "2020 101000000",
            "-0200101000000",
        ] {
            assert_eq!(parse_timeval(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(format_timeval(253_402_300_800, true), None);
        assert_eq!(format_timeval(-62_135_596_801, true), None);
        assert_eq!(format_timeval(i64::MAX, false), None);
        assert_eq!(format_timeval(i64::MIN, true), None);
        assert_eq!(format_timeval(0, false).unwrap().len(), 14);
    }

    proptest! {
        #[test]
        fn nothing_panics(arg in any::<Vec<u8>>(), numeric in "[-+0-9,|. ]*", seconds in any::<i64>()) {
            for arg in [&arg[..], numeric.as_bytes()] {
                let _ = parse_port(arg);
                let _ = parse_eprt(arg).map(|eprt| eprt.ip());
                let _ = (parse_offset(arg), parse_mode(arg), parse_timeval(arg));
            }
            let _ = (format_timeval(seconds, true), format_timeval(seconds, false));
        }

        #[test]
        fn times_survive(seconds in -62_135_596_800_i64..253_402_300_800) {
            let text = format_timeval(seconds, true).unwrap();
            prop_assert_eq!(parse_timeval(text.as_bytes()), Some(seconds));
        }
    }
}
