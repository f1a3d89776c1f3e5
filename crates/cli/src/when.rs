//! Times as people read them, in UTC.

use store::UnixSeconds;

const DAY_S: i64 = 86_400;

/// `2026-11-27 09:32:56Z`.
pub fn utc(time: UnixSeconds) -> String {
    let seconds = time.floor() as i64;
    let (year, month, day) = civil(seconds.div_euclid(DAY_S));
    let of_day = seconds.rem_euclid(DAY_S);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month and day of a day since 1970-01-01. Years begin with March here, so that the day that
/// not all of them have comes last; eras are 400 years long, all alike.
const fn civil(days: i64) -> (i64, i64, i64) {
    const ERA: i64 = 146_097;
    let days = days + 719_468; // since 0000-03-01
    let (era, of_era) = (days.div_euclid(ERA), days.rem_euclid(ERA));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153; // 0 is March
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (400 * era + year + (month <= 2) as i64, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_dates() {
        assert_eq!(utc(0.0), "1970-01-01 00:00:00Z");
        assert_eq!(utc(951_782_400.9), "2000-02-29 00:00:00Z");
        assert_eq!(utc(1_795_771_976.2), "2026-11-27 09:32:56Z");
        assert_eq!(utc(4_107_542_399.0), "2100-02-28 23:59:59Z");
        assert_eq!(utc(-1.0), "1969-12-31 23:59:59Z");
    }
}
