//! PASV, EPSV, PORT and EPRT.

use std::net::{IpAddr, Ipv4Addr};

use super::judge::{Judge, SLACK};
use super::lines::Reply;
use super::session::Command;
use super::{FaultKind, Verdict};
use crate::plan::scene::Tls;

/// The reply to PORT and EPRT when nothing answers at the address.
const UNREACHABLE: &[u8] = b"Can't connect to specified address.";

impl Judge<'_> {
    pub fn way(&mut self, c: &Command, r: &Reply, name: &str, arg: &[u8]) -> Verdict {
        let taken = self.s.transfer.as_ref().is_some_and(|transfer| {
            transfer.port.is_some() && !transfer.promised && !transfer.stolen
        });
        if taken && matches!(r.code, 200 | 227 | 229) {
            return self.wrong(FaultKind::Code, c, "the end of the transfer first", r);
        }
        let settings = &self.w.settings;
        if settings.tls == Tls::AllRequired && !self.s.prot {
            self.code(c, r, &[550, 521])?;
            return self.done(c);
        }
        if self.s.epsv_all && name != "EPSV" {
            self.want(c, r, &format!("501 {name} not allowed after EPSV ALL."))?;
            return self.done(c);
        }
        // Over `max_cons` there is none.
        if settings.max_cons > 0 && r.code == 425 && r.text().starts_with(b"Too many") {
            self.s.port = None;
            return self.done(c);
        }
        let four = settings.address.is_ipv4();
        let text = String::from_utf8_lossy(arg).into_owned();
        match name {
            "PASV" if four => return self.passive(c, r, false),
            "PASV" => self.code(c, r, &[425])?,
            "EPSV" => match (text.to_ascii_lowercase().as_str(), four) {
                ("", _) | ("1", true) | ("2", false) => return self.passive(c, r, true),
                ("1", false) => self.want(c, r, "522 Network protocol not supported (use 2).")?,
                ("2", true) => self.want(c, r, "522 Network protocol not supported (use 1).")?,
                ("all", _) => {
                    self.want(c, r, "220 Other commands other than EPSV are now disabled.")?;
                    self.s.epsv_all = true;
                }
                (_, true) => self.want(c, r, "501 Unknown network protocol (use 1).")?,
                (_, false) => self.want(c, r, "501 Unknown network protocol (use 2).")?,
            },
            "PORT" if !four => match (r.code, parse_port(&text)) {
                // The address is tried.
                (421 | 425, Some((ip, port))) if r.code == 421 || r.text() == UNREACHABLE => {
                    return self.active(c, r, ip, port);
                }
                _ => self.code(c, r, &[425, 501])?,
            },
            "PORT" => match parse_port(&text) {
                Some((ip, port)) => return self.active(c, r, ip, port),
                None => self.want(c, r, "501 Invalid PORT format.")?,
            },
            _ => match parse_eprt(&text) {
                Err(()) => self.want(c, r, "501 Invalid EPRT format.")?,
                Ok((family, ip, port)) => match (family.as_str(), four) {
                    ("1", true) => match parse_four(&ip) {
                        Some(ip) => return self.active(c, r, ip, port),
                        None => self.want(c, r, "501 Invalid EPRT format.")?,
                    },
                    ("2", true) => {
                        self.want(c, r, "522 Network protocol not supported (use 1).")?
                    }
                    ("2", false) => match ip.parse() {
                        Ok(ip) => return self.active(c, r, ip, port),
                        Err(_) => self.code(c, r, &[501])?,
                    },
                    ("1", false) => self.code(c, r, &[501, 522])?,
                    (_, true) => self.want(c, r, "501 Unknown network protocol (use 1).")?,
                    (_, false) => self.want(c, r, "501 Unknown network protocol (use 2).")?,
                },
            },
        }
        self.done(c)
    }

    fn passive(&mut self, c: &Command, r: &Reply, extended: bool) -> Verdict {
        let text = String::from_utf8_lossy(r.text()).into_owned();
        let port = match extended {
            true => text
                .strip_prefix("Entering extended passive mode (|||")
                .and_then(|rest| rest.strip_suffix("|)."))
                .and_then(|port| port.parse::<u16>().ok()),
            false => text
                .strip_prefix("Entering passive mode (")
                .and_then(|rest| rest.strip_suffix(")."))
                .and_then(parse_port)
                .filter(|(ip, _)| *ip == self.w.settings.address.ip())
                .map(|(_, port)| port),
        };
        let code = if extended { 229 } else { 227 };
        self.code(c, r, &[code])?;
        let Some(port) = port.filter(|port| *port > 0) else {
            return self.wrong(FaultKind::Text, c, "an address of the server", r);
        };
        self.open_port(c, true, port)?;
        self.done(c)
    }

    fn active(&mut self, c: &Command, r: &Reply, ip: IpAddr, port: u16) -> Verdict {
        let settings = &self.w.settings;
        let foreign = ip != self.s.ip && !settings.permit_foreign;
        if foreign {
            self.code(c, r, &[501])?;
            if !r
                .text()
                .starts_with(b"Rejected data connection to foreign address ")
            {
                return self.wrong(FaultKind::Text, c, "501 foreign address", r);
            }
            return self.done(c);
        }
        if port < 1024 && !settings.permit_privileged {
            self.want(
                c,
                r,
                &format!("501 PORT against the privileged port \"{port}\" refused."),
            )?;
            return self.done(c);
        }
        match r.code {
            200 => {
                self.want(c, r, "200 Active data connection established.")?;
                self.open_port(c, false, port)?;
            }
            421 => {
                self.want(c, r, "421 Active data channel timed out.")?;
                // For a client that has closed its side, the time is shorter.
                let is_early = self.now + SLACK < c.sent + settings.active_timeout;
                if is_early && self.s.client_end.is_none() {
                    return self.wrong(FaultKind::Code, c, "no time-out yet", r);
                }
                self.s.port = None;
            }
            _ => {
                self.want(c, r, "425 Can't connect to specified address.")?;
                self.s.refused_at = Some(self.now);
                self.s.port = None;
            }
        }
        // A transfer that waited for any data connection stays, and waits on.
        self.done(c)
    }
}

fn numbers(text: &str, by: char) -> Option<Vec<i64>> {
    let number = |part: &str| {
        let part = part.trim();
        let digits = part.strip_prefix(['+', '-']).unwrap_or(part);
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| part.parse::<i64>().unwrap_or(i64::MAX / 512))
    };
    text.split(by).map(number).collect()
}

fn parse_port(text: &str) -> Option<(IpAddr, u16)> {
    let parts = numbers(text, ',')?;
    let [a, b, c, d, high, low] = parts[..] else {
        return None;
    };
    let octet = |number: i64| u8::try_from(number).ok();
    let ip = Ipv4Addr::new(octet(a)?, octet(b)?, octet(c)?, octet(d)?);
    // The two parts of a port are bytes as well.
    let port = u16::from(octet(high)?) * 256 + u16::from(octet(low)?);
    Some((ip.into(), port))
}

fn parse_four(text: &str) -> Option<IpAddr> {
    let parts = numbers(text, '.')?;
    let [a, b, c, d] = parts[..] else {
        return None;
    };
    let octet = |number: i64| u8::try_from(number).ok();
    Some(Ipv4Addr::new(octet(a)?, octet(b)?, octet(c)?, octet(d)?).into())
}

fn parse_eprt(text: &str) -> Result<(String, String, u16), ()> {
    let by = text.chars().next().ok_or(())?;
    let parts: Vec<&str> = text.split(by).collect();
    let [_, family, ip, port, _] = parts[..] else {
        return Err(());
    };
    let port = numbers(port, ',')
        .filter(|parts| parts.len() == 1)
        .ok_or(())?[0];
    Ok((
        family.to_owned(),
        ip.to_owned(),
        u16::try_from(port).map_err(|_| ())?,
    ))
}
