//! Numbers for people.

/// `1234567` as `1,234,567`.
pub(in crate::cli) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// So many of something: `1 recipient`, `2,000 recipients`.
pub(in crate::cli) fn of(number: u64, one: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        number => format!("{} {one}s", grouped(number)),
    }
}

/// At most four characters: `9999`, `12k`, `3M`.
pub(in crate::cli) fn short(number: u64) -> String {
    match number {
        0..10_000 => number.to_string(),
        10_000..1_000_000 => format!("{}k", number / 1_000),
        _ => format!("{}M", number / 1_000_000),
    }
}

/// Octets in the largest unit that leaves a whole part: `512`, `1.5K`, `20M`.
pub(in crate::cli) fn octets(octets: u64) -> String {
    let mut unit = 1_u64;
    for name in ["", "K", "M", "G"] {
        let next = unit * 1024;
        if octets < next || name == "G" {
            let (whole, tenths) = (octets / unit, octets % unit * 10 / unit);
            return match unit > 1 && whole < 10 {
                true => format!("{whole}.{tenths}{name}"),
                false => format!("{whole}{name}"),
            };
        }
        unit = next;
    }
    unreachable!("the last unit takes everything")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_easy_to_read() {
        for (number, want) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(number), want);
        }
        for (number, want) in [(9_999, "9999"), (999_999, "999k"), (3_400_000, "3M")] {
            assert_eq!(short(number), want);
        }
        assert_eq!(of(1, "recipient"), "1 recipient");
        assert_eq!(of(1_500, "message"), "1,500 messages");
        for (number, want) in [
            (0, "0"),
            (1_023, "1023"),
            (1_536, "1.5K"),
            (20 << 20, "20M"),
            (5 << 40, "5120G"),
        ] {
            assert_eq!(octets(number), want);
        }
    }
}
