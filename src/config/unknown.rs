//! Variables of ours that nothing reads: a typing mistake should not go unnoticed.

use super::problem::{Warning, cut};
use super::reader::Reader;
use super::table::{ALL, LATER};

/// More of a name is not compared.
const NAME_CHARS_MAX: usize = 64;
const FILE_SUFFIX: &str = "_FILE";

/// Adds a warning to the reader's for each variable that has no effect.
pub(super) fn check(r: &mut Reader<'_>) {
    for (name, given) in r.given_variables() {
        r.warnings.extend(warning(name, given.trim().is_empty()));
    }
}

fn warning(name: &str, is_empty: bool) -> Option<Warning> {
    if known_now().any(|known| known == name) {
        return None;
    }
    if LATER.contains(&name) {
        return (!is_empty).then(|| {
            Warning::new(
                format!("{name} is known, but not in this version: it has no effect"),
                "remove it, or wait for a version that has it",
            )
        });
    }
    if let Some(base) = name.strip_suffix(FILE_SUFFIX)
        && ALL.iter().any(|about| about.name == base)
    {
        return Some(Warning::new(
            format!("{name} has no effect: {base} is no secret"),
            format!("set {base} itself"),
        ));
    }
    let shown = cut(name);
    let nearest = nearest(name)?; // there is one, as the table is not empty
    Some(Warning::new(
        format!("{shown} is unknown and has no effect"),
        format!("the nearest that is known is {nearest}"),
    ))
}

fn known_now() -> impl Iterator<Item = String> {
    ALL.iter()
        .flat_map(|about| with_file(about.name, about.secret))
}

fn known_later() -> impl Iterator<Item = String> {
    LATER.iter().map(|&later| later.to_owned())
}

fn with_file(name: &'static str, secret: bool) -> impl Iterator<Item = String> {
    let in_file = secret.then(|| format!("{name}{FILE_SUFFIX}"));
    std::iter::once(name.to_owned()).chain(in_file)
}

/// The known name that takes the fewest changes; the first of several.
fn nearest(name: &str) -> Option<String> {
    known_now()
        .chain(known_later())
        .min_by_key(|known| edit_distance(name, known))
}

/// Insertions, deletions and replacements of a character that lead from one name to the other
/// (Levenshtein), kept one row of the table at a time.
fn edit_distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().take(NAME_CHARS_MAX).collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (deleted, from_char) in from.chars().take(NAME_CHARS_MAX).enumerate() {
        let mut diagonal = row[0];
        row[0] = deleted + 1;
        for (n, to_char) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(*to_char != from_char);
            diagonal = row[n + 1];
            row[n + 1] = replaced.min(row[n] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::super::sources::Sources;
    use super::*;

    fn warnings(name: &str, value: &str) -> Vec<String> {
        let sources = Sources::of([(name, value)]);
        let mut reader = Reader::new(&sources);
        super::check(&mut reader);
        reader.warnings.iter().map(ToString::to_string).collect()
    }

    #[track_caller]
    fn check(name: &str, value: &str, want: &[&str]) {
        assert_eq!(warnings(name, value), want);
    }

    #[test]
    fn what_is_known_is_no_warning() {
        check("SMTP_PORT", "25", &[]);
        check("SMTP_TLS_CA_FILE", "/etc/ca.pem", &[]);
        check("SMTP_PORT", "", &[]);
    }

    #[test]
    fn an_unknown_name_brings_the_nearest_known_one() {
        let nearest = |name: &str, known: &str| {
            let want = format!(
                "{name} is unknown and has no effect; the nearest that is known is {known}"
            );
            check(name, "x", &[&want]);
        };
        nearest("SMTP_PRT", "SMTP_PORT");
        nearest("SMTP_ALLOWED_NETWORKS", "SMTP_ALLOW_NETWORKS");
        nearest("SMTP_MAX_MESSAGES_SIZE", "SMTP_MAX_MESSAGE_SIZE");
        nearest("SMTP_HOST_NAME", "SMTP_HOSTNAME");
        nearest("SMTP_DEBUGG", "SMTP_DEBUG");
        nearest("SMTP_RELAY_PASWORD_FILE", "SMTP_RELAY_PASSWORD_FILE");
    }

    #[test]
    fn a_name_of_a_later_version_is_told_unless_it_is_empty() {
        let later = |name: &str| {
            let want = format!(
                "{name} is known, but not in this version: it has no effect; \
                 remove it, or wait for a version that has it"
            );
            check(name, "x", &[&want]);
            check(name, "", &[]);
        };
        later("SMTP_ADMIN_TOKEN");
    }

    #[test]
    fn a_file_for_what_is_no_secret_is_told() {
        let want = "SMTP_PORT_FILE has no effect: SMTP_PORT is no secret; set SMTP_PORT itself";
        check("SMTP_PORT_FILE", "/run/port", &[want]);
    }

    #[test]
    fn a_name_without_end_is_cut() {
        let name = format!("SMTP_{}", "X".repeat(100_000));
        assert!(warnings(&name, "x")[0].len() < 400);
    }

    #[track_caller]
    fn check_distance(from: &str, to: &str, want: usize) {
        assert_eq!(edit_distance(from, to), want);
        assert_eq!(edit_distance(to, from), want);
    }

    #[test]
    fn distance_counts_changes() {
        check_distance("", "", 0);
        check_distance("abc", "", 3);
        check_distance("abc", "abc", 0);
        check_distance("abc", "abd", 1);
        check_distance("abc", "ab", 1);
        check_distance("kitten", "sitting", 3);
        check_distance("ab", "ba", 2);
    }
}
