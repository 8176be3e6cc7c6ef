//! Dates and times of listings, in GMT or in a time zone.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A converter from times to dates. It remembers the last day, since the files of a directory were
/// often changed on few days.
#[derive(Debug)]
pub(super) struct Calendar {
    zone: TimeZone,
    day: Day,
}

/// A day, or the part of it around a time in which the offset does not change.
#[derive(Debug, Clone, Copy)]
struct Day {
    /// Seconds since 1970: the start is included, the end is not.
    start: i64,
    end: i64,
    /// Local time minus GMT, in seconds.
    offset: i64,
    year: i64,
    month: usize,
    day: u8,
}

impl Calendar {
    pub(super) fn new(zone: TimeZone) -> Self {
        let day = Day {
            start: 0,
            end: 0,
            offset: 0,
            year: 1970,
            month: 1,
            day: 1,
        };
        Self { zone, day }
    }

    /// The date and time of day of a time in seconds since 1970. `None` if the year minus 1900 does
    /// not fit in 32 bits: localtime(3), which `ls` uses, fails there too.
    pub(super) fn civil(&mut self, seconds: i64) -> Option<Civil> {
        // Sums of times within this bound do not overflow.
        if seconds.unsigned_abs() > FARTHEST {
            return None;
        }
        if !(self.day.start..self.day.end).contains(&seconds) {
            self.day = self.look_up(seconds)?;
        }
        let second = (seconds + self.day.offset).rem_euclid(DAY);
        let part = |value: i64| u8::try_from(value).unwrap_or(0);
        Some(Civil {
            day: self.day,
            hour: part(second / 3600),
            minute: part(second / 60 % 60),
            second: part(second % 60),
        })
    }

    fn look_up(&self, seconds: i64) -> Option<Day> {
        // `jiff` knows the years from -9999 to 9999. Dates repeat every 400 years, and so do the
        // rules of a time zone far from the present.
        let cycles = match seconds {
            ..FIRST => (seconds - FIRST).div_euclid(CYCLE),
            FIRST..=LAST => 0,
            _ => (seconds - LAST + CYCLE - 1) / CYCLE,
        };
        let shifted = seconds - cycles * CYCLE;
        let time = Timestamp::from_second(shifted).ok()?;
        let offset = self.zone.to_offset(time);
        let date = offset.to_datetime(time).date();
        let year = i64::from(date.year()) + cycles * 400;
        i32::try_from(year - 1900).ok()?;
        let offset = i64::from(offset.seconds());
        let start = seconds - (seconds + offset).rem_euclid(DAY);
        let same_offset = |seconds: i64| {
            Timestamp::from_second(seconds - cycles * CYCLE)
                .is_ok_and(|time| i64::from(self.zone.to_offset(time).seconds()) == offset)
        };
        // On a day when the clocks change, only this second is certain.
        let (start, end) = if same_offset(start) && same_offset(start + DAY - 1) {
            (start, start + DAY)
        } else {
            (seconds, seconds + 1)
        };
        Some(Day {
            start,
            end,
            offset,
            year,
            month: usize::from(date.month().unsigned_abs()),
            day: date.day().unsigned_abs(),
        })
    }
}

/// A date and time of day.
pub(super) struct Civil {
    day: Day,
    hour: u8,
    minute: u8,
    second: u8,
}

impl Civil {
    /// `Sep  2 03:40`, or `Sep  2  2007` with the year.
    pub(super) fn push_list(&self, with_year: bool, out: &mut Vec<u8>) {
        let month = MONTHS.get(self.day.month.wrapping_sub(1));
        out.extend_from_slice(month.unwrap_or(&MONTHS[0]).as_bytes());
        out.push(b' ');
        match self.day.day {
            day @ ..10 => out.extend_from_slice(&[b' ', b'0' + day]),
            day => push_two(out, day),
        }
        out.push(b' ');
        if with_year {
            out.push(b' ');
            push_year(out, self.day.year);
        } else {
            push_two(out, self.hour);
            out.push(b':');
            push_two(out, self.minute);
        }
    }

    /// Whether a time-val of RFC 3659 §2.3, which has four digits for the year, can hold the time.
    pub(super) fn is_timeval(&self) -> bool {
        (1..=9999).contains(&self.day.year)
    }

    /// `YYYYMMDDHHMMSS`, the time-val of RFC 3659 §2.3.
    pub(super) fn push_mlsx(&self, out: &mut Vec<u8>) {
        push_year(out, self.day.year);
        // A month is one of twelve.
        push_two(out, u8::try_from(self.day.month).unwrap_or(0));
        for part in [self.day.day, self.hour, self.minute, self.second] {
            push_two(out, part);
        }
    }
}

fn push_two(out: &mut Vec<u8>, number: u8) {
    out.extend_from_slice(&[b'0' + number / 10 % 10, b'0' + number % 10]);
}

/// At least four characters.
fn push_year(out: &mut Vec<u8>, year: i64) {
    match u16::try_from(year) {
        Ok(year @ ..10_000) => {
            let part = |value: u16| u8::try_from(value % 100).unwrap_or(0);
            push_two(out, part(year / 100));
            push_two(out, part(year));
        }
        _ => out.extend_from_slice(format!("{year:04}").as_bytes()),
    }
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
/// The seconds of a day.
const DAY: i64 = 24 * 60 * 60;
/// The seconds of 400 years, after which the calendar repeats.
const CYCLE: i64 = 146_097 * DAY;
/// The times that are looked up as they are: in the years -7537 to 9892, about.
const FIRST: i64 = -300_000_000_000;
const LAST: i64 = 250_000_000_000;
/// More than the seconds of 2^31 years.
const FARTHEST: u64 = 70_000_000_000_000_000;
