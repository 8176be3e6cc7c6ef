//! Arguments of PORT, EPRT, REST, SITE CHMOD and MFMT, and the replies with addresses.

#![no_main]

use std::net::{IpAddr, Ipv4Addr};

use ftpdlib::proto::address::{
    EprtProto, format_227, format_229, format_timeval, parse_eprt, parse_mode, parse_offset,
    parse_port, parse_timeval,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|arg: &[u8]| {
    port(arg);
    eprt(arg);
    offset(arg);
    if let Some(mode) = parse_mode(arg) {
        assert!(mode <= 0o7777);
        let text = std::str::from_utf8(arg).expect("octal digits");
        assert_eq!(u32::from_str_radix(text, 8), Ok(mode));
    }
    if let Some(seconds) = parse_timeval(arg) {
        let text = format_timeval(seconds, true).expect("a time of the years 1 to 9999");
        // A fraction is dropped, and second 60 becomes second 0 of the next minute.
        match &arg[12..14] {
            b"60" => assert!(text.ends_with("00")),
            _ => assert_eq!(text.as_bytes(), &arg[..14]),
        }
    }
    if let Some(bytes) = arg.first_chunk() {
        let seconds = i64::from_le_bytes(*bytes);
        if let Some(text) = format_timeval(seconds, true) {
            assert_eq!(text.len(), 14);
            assert_eq!(parse_timeval(text.as_bytes()), Some(seconds));
        }
        // By the zone of the system there may be gaps, but it is a time.
        assert!(format_timeval(seconds, false).is_none_or(|text| text.len() == 14));
    }
});

fn port(arg: &[u8]) {
    let Ok(address) = parse_port(arg) else {
        return;
    };
    let reply = format_227(&address.ip().to_string(), address.port());
    assert_eq!(reply.code, 227);
    let inside = reply.text.strip_prefix("Entering passive mode (");
    let inside = inside.and_then(|reply| reply.strip_suffix(")."));
    let inside = inside.expect("a reply to PASV");
    assert_eq!(parse_port(inside.as_bytes()), Ok(address));
    // The same with the blanks and signs that are allowed.
    let spaced: String = inside
        .split(',')
        .map(|field| format!(" +0{field}\t,"))
        .collect();
    assert_eq!(
        parse_port(spaced.trim_end_matches(',').as_bytes()),
        Ok(address)
    );
    assert!(parse_port(format!("{inside},0").as_bytes()).is_err());
}

fn eprt(arg: &[u8]) {
    let Ok(eprt) = parse_eprt(arg) else {
        return;
    };
    let reply = format_229(eprt.port);
    assert_eq!(reply.code, 229);
    let port = reply
        .text
        .strip_prefix("Entering extended passive mode (|||");
    let port = port.and_then(|reply| reply.strip_suffix("|)."));
    assert_eq!(port.map(str::parse), Some(Ok(eprt.port)));
    match (eprt.proto, eprt.ip()) {
        (EprtProto::Other, Ok(ip)) => panic!("{ip} for an unknown protocol"),
        (_, Err(_)) => {}
        (proto, Ok(ip)) => {
            assert_eq!(proto == EprtProto::V4, ip.is_ipv4());
            let number = if ip.is_ipv4() { 1 } else { 2 };
            let again = format!("|{number}|{ip}|{}|", eprt.port);
            let again = parse_eprt(again.as_bytes()).expect("the same address");
            assert_eq!((again.ip(), again.port), (Ok(ip), eprt.port));
            if let IpAddr::V4(ip) = ip {
                assert_same_as_port(ip, eprt.port);
            }
        }
    }
}

fn assert_same_as_port(ip: Ipv4Addr, port: u16) {
    let [a, b, c, d] = ip.octets();
    let [high, low] = port.to_be_bytes();
    let arg = format!("{a},{b},{c},{d},{high},{low}");
    let address = parse_port(arg.as_bytes()).expect("the same address");
    assert_eq!((*address.ip(), address.port()), (ip, port));
}

fn offset(arg: &[u8]) {
    let Some(offset) = parse_offset(arg) else {
        return;
    };
    let digits = offset.text.bytes();
    assert!(!offset.text.is_empty() && digits.clone().all(|digit| digit.is_ascii_digit()));
    assert!(offset.text == "0" || !offset.text.starts_with('0'));
    let largest = i64::MAX.unsigned_abs();
    let position = offset
        .text
        .parse::<u64>()
        .map_or(largest, |at| at.min(largest));
    assert_eq!(offset.position, position);
    assert_eq!(parse_offset(offset.text.as_bytes()), Some(offset));
}
