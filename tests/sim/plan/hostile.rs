//! What no client should send.

use std::net::{IpAddr, SocketAddr};

use super::step::Step;
use super::walker::Walker;

/// A browser that was lured here.
pub fn browser(w: &mut Walker<'_>) {
    let text = b"GET / HTTP/1.1\r\nHost: x\r\nDELE a\r\n\r\n";
    w.steps.push(Step::Raw(text.to_vec()));
    w.steps.push(Step::Await);
}

/// More commands at once than there is room for their replies.
pub fn flood(w: &mut Walker<'_>) {
    let (line, most) = *w.draw.of(&[
        (&b"NOOP\r\n"[..], 300),
        (b"NOOP\r\n", 2000),
        (b"FEAT\r\n", 100),
        (b"HELP\r\n", 50),
    ]);
    let count = w.draw.within(2, most);
    w.steps.push(Step::Raw(line.repeat(count)));
    w.steps.push(Step::Await);
}

pub fn attack(w: &mut Walker<'_>) {
    let lines: [&[u8]; 22] = [
        b"\r\n",
        b"\n\n",
        b" NOOP\r\n",
        b"NOOP\0\r\n",
        b"\0\r\n",
        b"NO\rOP\r\n",
        b"CWD a\rDELE a\r\n",
        b"\xff\xf4\xff\xf2ABOR\r\n",
        b"\xff\xfe\x80\r\n",
        b"CWD \xff\xfe\r\n",
        b"MKD caf\xe9\r\n",
        b"RMD caf\xe9\r\n",
        b"XXABOR\r\n",
        b"xxstat\r\n",
        b"USER \r\n",
        b"PASS\r\n",
        b"MKD ..\r\n",
        b"RETR ../../home/1/a\r\n",
        b"CWD /home/1\r\n",
        b"STOR d1/\r\n",
        b"RNFR /\r\nRNTO x\r\n",
        b"RMD /\r\n",
    ];
    match w.draw.below(12) {
        0 => {
            let size = *w.draw.of(&[2040, 2044, 2048, 2049, 5000, 70_000]);
            let mut line = b"NOOP ".to_vec();
            line.resize(size, b'x');
            line.extend_from_slice(b"\r\n");
            w.steps.push(Step::Raw(line));
        }
        1 => {
            flood(w);
        }
        2 => {
            // A line in pieces.
            for part in [&b"PW"[..], b"D\r", b"\n"] {
                w.steps.push(Step::Raw(part.to_vec()));
            }
        }
        3 if w.has_port => {
            let ip: IpAddr = match w.settings.address {
                SocketAddr::V4(_) => [10, 9, 9, 9].into(),
                SocketAddr::V6(_) => [0xfd00, 0, 0, 0, 0, 9, 9, 9].into(),
            };
            w.steps.push(Step::Stranger {
                from: SocketAddr::new(ip, 5555),
                bytes: b"stolen".to_vec(),
            });
        }
        _ => {
            let line = *w.draw.of(&lines);
            w.steps.push(Step::Raw(line.to_vec()));
        }
    }
}
