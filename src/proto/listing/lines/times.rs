//! The times of LIST, compared with those of GNU `ls`.

use std::os::fd::AsFd;
use std::process::Command;

use jiff::Timestamp;

use super::*;

/// The columns of date and time that `ls` shows for files with these times, and the present time
/// that it has used.
fn shown_by_ls(zone: &str, times: &[i64]) -> (i64, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    for (i, time) in times.iter().enumerate() {
        let file = std::fs::File::create(dir.path().join(format!("{i:04}"))).unwrap();
        crate::sys::futime(file.as_fd(), *time).unwrap();
    }
    for _ in 0..20 {
        let before = Timestamp::now().as_second();
        let mut command = Command::new("ls");
        command.args(["-n", "--time-style=locale"]).arg(dir.path());
        command.env("LC_ALL", "C").env("TZ", zone);
        let output = String::from_utf8(command.output().unwrap().stdout).unwrap();
        if Timestamp::now().as_second() != before {
            // It is not known which second `ls` has seen.
            continue;
        }
        let columns = |line: &str| {
            let end = line.rfind(' ').unwrap();
            let fields = line.match_indices(' ').map(|(at, _)| at);
            let start = fields.filter(|at| line.as_bytes()[at + 1] != b' ').nth(4);
            line[start.unwrap()..end].to_owned()
        };
        let lines = output.lines().filter(|line| line.starts_with('-'));
        return (before, lines.map(columns).collect());
    }
    panic!("each run of ls took more than a second");
}

/// Recent and old, the edges of half a year and of the present, days of one and two digits, and
/// days on which clocks change.
fn times_to_show(now: i64) -> Vec<i64> {
    let mut times = vec![
        -2_000_000_000,
        -1,
        0,
        1,
        951_782_399,
        951_782_400,
        2_147_483_647,
    ];
    for edge in [0, HALF_YEAR, 180 * 86_400, 365 * 86_400] {
        times.extend((-3..=3).map(|off| now - edge + off));
    }
    times.extend((0..400).map(|days| now + 7 * 86_400 - days * 86_400 - days * 311));
    times
}

#[test]
fn times_are_shown_as_by_gnu_ls() {
    for zone in [
        "UTC0",
        "CET-1CEST,M3.5.0,M10.5.0/3",
        "NST3:30NDT,M3.2.0,M11.1.0",
    ] {
        let times = times_to_show(Timestamp::now().as_second());
        let (now, shown) = shown_by_ls(zone, &times);
        assert_eq!(shown.len(), times.len());
        let mut style = ListingStyle::with_zone(
            Encoding::UTF_8,
            UnicodeErrors::Replace,
            TimeZone::posix(zone).unwrap(),
            now,
        );
        for (time, expected) in times.iter().zip(&shown) {
            let mut out = Vec::new();
            style.push_list_time(*time, &mut out);
            let ours = format!(" {}", String::from_utf8(out).unwrap());
            assert_eq!(&ours, expected, "{time} at {now} in {zone}");
        }
    }
}

/// What GNU `ls` 9.1 shows on a file system that holds such times.
#[test]
fn years_of_other_lengths() {
    let mut gmt = ListingStyle::with_zone(
        Encoding::UTF_8,
        UnicodeErrors::Replace,
        TimeZone::UTC,
        1_700_000_000,
    );
    for (time, expected) in [
        (-62_135_596_801, "Dec 31  0000"),
        (-62_198_755_200, "Jan  1  -001"),
        (-40_000_000_000, "Jun 15  0702"),
        (-30_610_224_000, "Jan  1  1000"),
        (253_402_300_800, "Jan  1  10000"),
        (253_436_860_799, "Feb  3  10001"),
        (1 << 40, "Feb 20  36812"),
        (1 << 55, "Jun 13  1141709097"),
        (67_768_036_191_676_799, "Dec 31  2147485547"),
        (67_768_036_191_676_800, "67768036191676800"),
        (-(1 << 40), "Nov 12  -32873"),
        (-(1 << 55), "Jul 20  -1141705158"),
        (-67_768_040_609_740_800, "Jan  1  -2147481748"),
        (-67_768_040_609_740_801, "-67768040609740801"),
    ] {
        let mut out = Vec::new();
        gmt.push_list_time(time, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{time}");
    }
}
