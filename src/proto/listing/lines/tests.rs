//! The rows were printed by pyftpdlib 2.2.0 at the time [`NOW`], but for `unix.mode`, the attributes
//! of a link, and the times of LIST, which have the form of GNU `ls`.

use std::cell::Cell;

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::proto::perm::Perms;

const NOW: i64 = 1_700_000_000;

struct Row {
    stat: Stat,
    list: &'static str,
    mlsx: &'static str,
    /// The same in Europe/Rome.
    list_rome: &'static str,
    modify_rome: &'static str,
}

const ROWS: [Row; 13] = [
    Row {
        stat: stat(0o100644, 1, 0, 380, 1699999940, (66, 77)),
        list: "-rw-r--r--   1 root     root          380 Nov 14 22:12 f0",
        mlsx: "modify=20231114221220;perm=radfwMT;size=380;type=file;unique=42g4d;unix.gid=0;unix.mode=0644;unix.uid=0; f0",
        list_rome: "-rw-r--r--   1 root     root          380 Nov 14 23:12 f0",
        modify_rome: "modify=20231114231220",
    },
    Row {
        stat: stat(0o40755, 12, 5, 4096, 1684448000, (2049, 11259375)),
        list: "drwxr-xr-x  12 averylongusername écurie       4096 May 18 22:13 f1",
        mlsx: "modify=20230518221320;perm=eldfmMTcp;size=4096;type=dir;unique=801gabcdef;unix.gid=5;unix.mode=0755;unix.uid=5; f1",
        list_rome: "drwxr-xr-x  12 averylongusername écurie       4096 May 19 00:13 f1",
        modify_rome: "modify=20230519001320",
    },
    Row {
        stat: stat(0o40755, 12, 5, 4096, 1684447999, (1, 2)),
        list: "drwxr-xr-x  12 averylongusername écurie       4096 May 18 22:13 f2",
        mlsx: "modify=20230518221319;perm=eldfmMTcp;size=4096;type=dir;unique=1g2;unix.gid=5;unix.mode=0755;unix.uid=5; f2",
        list_rome: "drwxr-xr-x  12 averylongusername écurie       4096 May 19 00:13 f2",
        modify_rome: "modify=20230519001319",
    },
    Row {
        stat: stat(0o120777, 1, 1000, 9, 1700000000, (1, 1)),
        list: "lrwxrwxrwx   1 1000     1000            9 Nov 14 22:13 f3 -> ../target",
        mlsx: "modify=20231114221320;perm=df;size=9;type=OS.unix=symlink;unique=1g1;unix.gid=1000;unix.mode=0777;unix.uid=1000; f3",
        list_rome: "lrwxrwxrwx   1 1000     1000            9 Nov 14 23:13 f3 -> ../target",
        modify_rome: "modify=20231114231320",
    },
    Row {
        stat: stat(0o104755, 1000, 1, 123456789012, 1734560000, (1, 1)),
        list: "-rwsr-xr-x 1000 1        1        123456789012 Dec 18  2024 f4",
        mlsx: "modify=20241218221320;perm=radfwMT;size=123456789012;type=file;unique=1g1;unix.gid=1;unix.mode=04755;unix.uid=1; f4",
        list_rome: "-rwsr-xr-x 1000 1        1        123456789012 Dec 18  2024 f4",
        modify_rome: "modify=20241218231320",
    },
    Row {
        stat: stat(0o102644, 1, 1, 0, 0, (1, 1)),
        list: "-rw-r-Sr--   1 1        1               0 Jan  1  1970 f5",
        mlsx: "modify=19700101000000;perm=radfwMT;size=0;type=file;unique=1g1;unix.gid=1;unix.mode=02644;unix.uid=1; f5",
        list_rome: "-rw-r-Sr--   1 1        1               0 Jan  1  1970 f5",
        modify_rome: "modify=19700101010000",
    },
    Row {
        stat: stat(0o41777, 3, 1, 0, -1, (1, 1)),
        list: "drwxrwxrwt   3 1        1               0 Dec 31  1969 f6",
        mlsx: "modify=19691231235959;perm=eldfmMTcp;size=0;type=dir;unique=1g1;unix.gid=1;unix.mode=01777;unix.uid=1; f6",
        list_rome: "drwxrwxrwt   3 1        1               0 Jan  1  1970 f6",
        modify_rome: "modify=19700101005959",
    },
    Row {
        stat: stat(0o41666, 0, 1, 0, 951782400, (1, 1)),
        list: "drw-rw-rwT   1 1        1               0 Feb 29  2000 f7",
        mlsx: "modify=20000229000000;perm=eldfmMTcp;size=0;type=dir;unique=1g1;unix.gid=1;unix.mode=01666;unix.uid=1; f7",
        list_rome: "drw-rw-rwT   1 1        1               0 Feb 29  2000 f7",
        modify_rome: "modify=20000229010000",
    },
    Row {
        stat: stat(0o140755, 1, 1, 0, 1679787000, (1, 1)),
        list: "srwxr-xr-x   1 1        1               0 Mar 25  2023 f8",
        mlsx: "modify=20230325233000;perm=radfwMT;size=0;type=file;unique=1g1;unix.gid=1;unix.mode=0755;unix.uid=1; f8",
        list_rome: "srwxr-xr-x   1 1        1               0 Mar 26  2023 f8",
        modify_rome: "modify=20230326003000",
    },
    Row {
        stat: stat(0o60660, 1, 1, 0, 1698541199, (1, 1)),
        list: "brw-rw----   1 1        1               0 Oct 29 00:59 f9",
        mlsx: "modify=20231029005959;perm=radfwMT;size=0;type=file;unique=1g1;unix.gid=1;unix.mode=0660;unix.uid=1; f9",
        list_rome: "brw-rw----   1 1        1               0 Oct 29 02:59 f9",
        modify_rome: "modify=20231029025959",
    },
    Row {
        stat: stat(0o20660, 1, 1, 0, 1698541200, (1, 1)),
        list: "crw-rw----   1 1        1               0 Oct 29 01:00 f10",
        mlsx: "modify=20231029010000;perm=radfwMT;size=0;type=file;unique=1g1;unix.gid=1;unix.mode=0660;unix.uid=1; f10",
        list_rome: "crw-rw----   1 1        1               0 Oct 29 02:00 f10",
        modify_rome: "modify=20231029020000",
    },
    Row {
        stat: stat(0o10600, 1, 1, 0, 253402127999, (1, 1)),
        list: "prw-------   1 1        1               0 Dec 29  9999 f11",
        mlsx: "modify=99991229235959;perm=radfwMT;size=0;type=file;unique=1g1;unix.gid=1;unix.mode=0600;unix.uid=1; f11",
        list_rome: "prw-------   1 1        1               0 Dec 30  9999 f11",
        modify_rome: "modify=99991230005959",
    },
    Row {
        stat: stat(0o6711, 1, 1, 0, -2208988800, (1, 1)),
        list: "?rws--s--x   1 1        1               0 Jan  1  1900 f12",
        mlsx: "modify=19000101000000;perm=radfwMT;size=0;type=file;unique=1g1;unix.gid=1;unix.mode=06711;unix.uid=1; f12",
        list_rome: "?rws--s--x   1 1        1               0 Jan  1  1900 f12",
        modify_rome: "modify=19000101010000",
    },
];

const fn stat(mode: u32, nlink: u64, owner: u32, size: u64, mtime: i64, id: (u64, u64)) -> Stat {
    Stat {
        mode,
        nlink,
        uid: owner,
        gid: owner,
        size,
        mtime,
        dev: id.0,
        ino: id.1,
    }
}

fn style(zone: TimeZone) -> ListingStyle {
    ListingStyle::with_zone(Encoding::UTF_8, UnicodeErrors::Replace, zone, NOW)
}

fn rome() -> TimeZone {
    TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
}

fn user(uid: u32) -> String {
    match uid {
        0 => "root".to_owned(),
        5 => "averylongusername".to_owned(),
        uid => uid.to_string(),
    }
}

fn group(gid: u32) -> String {
    match gid {
        0 => "root".to_owned(),
        5 => "écurie".to_owned(),
        gid => gid.to_string(),
    }
}

const NAMES: Names<'static> = Names {
    user: &user,
    group: &group,
};

fn list_line(style: &mut ListingStyle, name: &str, stat: &Stat) -> String {
    let target = (stat.mode & 0o170_000 == 0o120_000).then_some(Path::new("../target"));
    let entry = ListEntry {
        name: OsStr::new(name),
        stat,
        target,
    };
    let mut out = Vec::new();
    style.list_line(NAMES, &entry, &mut out);
    String::from_utf8(out).unwrap()
}

fn mlsx_line(style: &mut ListingStyle, facts: &MlsxFacts, name: &str, stat: &Stat) -> String {
    let entry = ListEntry {
        name: OsStr::new(name),
        stat,
        target: None,
    };
    let mut out = Vec::new();
    style.mlsx_line(facts, &entry, &mut out);
    String::from_utf8(out).unwrap()
}

fn all_facts() -> MlsxFacts {
    let mut facts = MlsxFacts::default().with_perms(Perms::ALL);
    let all = "type;perm;size;modify;unique;unix.mode;unix.uid;unix.gid;";
    assert_eq!(facts.select(all).unwrap(), all);
    facts
}

#[test]
fn lines_of_a_style() {
    let mut gmt = style(TimeZone::UTC);
    let mut local = style(rome());
    let facts = all_facts();
    for (i, row) in ROWS.iter().enumerate() {
        let name = format!("f{i}");
        let list = list_line(&mut gmt, &name, &row.stat);
        assert_eq!(list.strip_suffix("\r\n"), Some(row.list));
        let mlsx = mlsx_line(&mut gmt, &facts, &name, &row.stat);
        assert_eq!(mlsx.strip_suffix("\r\n"), Some(row.mlsx));
        let list = list_line(&mut local, &name, &row.stat);
        assert_eq!(list.strip_suffix("\r\n"), Some(row.list_rome));
        let mlsx = mlsx_line(&mut local, &facts, &name, &row.stat);
        assert_eq!(mlsx.split(';').next(), Some(row.modify_rome));
    }
}

#[test]
fn times_of_no_calendar() {
    let mut gmt = style(TimeZone::UTC);
    for mtime in [i64::MIN, i64::MAX, -67_768_040_609_740_801, 1 << 57] {
        let stat = Stat {
            mtime,
            ..ROWS[0].stat
        };
        let list = list_line(&mut gmt, "f", &stat);
        assert!(list.ends_with(&format!(" {mtime} f\r\n")), "{list}");
    }
    // The fact `modify` has four digits for the year.
    for mtime in [i64::MIN, i64::MAX, -62_135_596_801, 253_402_300_800] {
        let stat = Stat {
            mtime,
            ..ROWS[0].stat
        };
        let mlsx = mlsx_line(&mut gmt, &MlsxFacts::default(), "f", &stat);
        assert_eq!(mlsx, "perm=;size=380;type=file;unique=42g4d; f\r\n");
    }
    for (mtime, expected) in [
        (-62_135_596_800, "modify=00010101000000;"),
        (253_402_300_799, "modify=99991231235959;"),
    ] {
        let stat = Stat {
            mtime,
            ..ROWS[0].stat
        };
        let mlsx = mlsx_line(&mut gmt, &MlsxFacts::default(), "f", &stat);
        assert!(mlsx.starts_with(expected), "{mlsx}");
    }
    let mut absurd = ListingStyle::new(Encoding::UTF_8, UnicodeErrors::Replace, false, i64::MAX);
    list_line(&mut absurd, "f", &Stat::default());
    let far = Stat {
        mtime: i64::MIN,
        ..Stat::default()
    };
    assert!(list_line(&mut absurd, "f", &far).contains(" -9223372036854775808 f"));
}

#[test]
fn a_mode_is_octal() {
    for (mode, expected) in [
        (0o100_640, "0640"),
        (0o100_000, "0000"),
        (0o100_007, "0007"),
        (0o104_755, "04755"),
        (0o042_770, "02770"),
        (0o041_777, "01777"),
        (0o107_777, "07777"),
    ] {
        let mut out = Vec::new();
        push_octal(&mut out, mode & 0o7777);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}

#[test]
fn types_of_directories() {
    let mut facts = MlsxFacts::default();
    facts.select("Type;").unwrap();
    let mut gmt = style(TimeZone::UTC);
    let dir = Stat {
        mode: 0o040_755,
        ..Stat::default()
    };
    for (name, expected) in [
        (".", "type=cdir; .\r\n"),
        ("..", "type=pdir; ..\r\n"),
        ("...", "type=dir; ...\r\n"),
    ] {
        assert_eq!(mlsx_line(&mut gmt, &facts, name, &dir), expected);
    }
    let file = Stat::default();
    assert_eq!(mlsx_line(&mut gmt, &facts, ".", &file), "type=file; .\r\n");
}

#[test]
fn permissions_of_a_reader() {
    let mut facts = MlsxFacts::default().with_perms(Perms::READ);
    facts.select("perm;").unwrap();
    let mut gmt = style(TimeZone::UTC);
    let dir = Stat {
        mode: 0o040_755,
        ..Stat::default()
    };
    assert_eq!(mlsx_line(&mut gmt, &facts, "d", &dir), "perm=el; d\r\n");
    let file = Stat::default();
    assert_eq!(mlsx_line(&mut gmt, &facts, "f", &file), "perm=r; f\r\n");
}

#[test]
fn choosing_facts() {
    let mut facts = MlsxFacts::default();
    assert_eq!(
        facts.feat(),
        "type*;perm*;size*;modify*;unique*;unix.mode;unix.uid;unix.gid;"
    );
    assert_eq!(facts.select("Size;TYPE;nonsense;").unwrap(), "size;type;");
    assert_eq!(
        facts.feat(),
        "type*;perm;size*;modify;unique;unix.mode;unix.uid;unix.gid;"
    );
    let err = facts.select("size").unwrap_err();
    assert_eq!(err.to_string(), "Invalid argument");
    assert!(facts.feat().starts_with("type*;"));
    assert_eq!(facts.select("size;size;").unwrap(), "size;size;");
    assert_eq!(facts.select("").unwrap(), "");
    let mut gmt = style(TimeZone::UTC);
    let line = mlsx_line(&mut gmt, &facts, "f", &ROWS[0].stat);
    assert_eq!(line, " f\r\n");
}

#[test]
fn a_name_never_makes_a_line_of_its_own() {
    let mut gmt = style(TimeZone::UTC);
    let name = "a\r\n-rw-r--r--";
    for line in [
        list_line(&mut gmt, name, &ROWS[0].stat),
        mlsx_line(&mut gmt, &MlsxFacts::default(), name, &ROWS[0].stat),
    ] {
        assert!(line.ends_with(" a??-rw-r--r--\r\n"), "{line:?}");
        assert_eq!(line.matches('\n').count(), 1);
    }
    let forged = |_: u32| "a\nb".to_owned();
    let names = Names {
        user: &forged,
        group: &forged,
    };
    let entry = ListEntry {
        name: OsStr::new("f"),
        stat: &ROWS[0].stat,
        target: Some(Path::new("x\r\ny")),
    };
    let mut out = Vec::new();
    style(TimeZone::UTC).list_line(names, &entry, &mut out);
    assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
}

#[test]
fn owners_are_looked_up_once() {
    let calls = Cell::new(0);
    let count = |id: u32| {
        calls.set(calls.get() + 1);
        id.to_string()
    };
    let names = Names {
        user: &count,
        group: &count,
    };
    let mut gmt = style(TimeZone::UTC);
    let mut out = Vec::new();
    for _ in 0..10 {
        let entry = ListEntry {
            name: OsStr::new("f"),
            stat: &ROWS[0].stat,
            target: None,
        };
        gmt.list_line(names, &entry, &mut out);
    }
    assert_eq!(calls.get(), 2);
}

proptest! {
    /// The day that is kept gives what a fresh look-up gives.
    #[test]
    fn the_calendar_keeps_days_rightly(
        base in -5_000_000_000_i64..10_000_000_000,
        steps in proptest::collection::vec(-90_000_i64..90_000, 1..40),
    ) {
        let mut kept = style(rome());
        let facts = all_facts();
        let mut mtime = base;
        for step in steps {
            mtime += step;
            let stat = Stat { mtime, ..ROWS[0].stat };
            prop_assert_eq!(
                mlsx_line(&mut kept, &facts, "f", &stat),
                mlsx_line(&mut style(rome()), &facts, "f", &stat)
            );
            let zoned = Timestamp::from_second(mtime).unwrap().to_zoned(rome());
            let expected = zoned.strftime("modify=%Y%m%d%H%M%S;").to_string();
            prop_assert!(mlsx_line(&mut kept, &facts, "f", &stat).starts_with(&expected));
        }
    }

    #[test]
    fn no_time_panics(mtime: i64, now: i64) {
        let mut local = style(rome());
        local.now = now;
        list_line(&mut local, "f", &Stat { mtime, ..Stat::default() });
    }
}
