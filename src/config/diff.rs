//! Which variables have another value than before. Pure; names only, so that no secret gets out.

use super::reader::Setting;
use super::table::ALL;

/// Variables with another value, in the order of the reference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// A running relay takes these up.
    pub live: Vec<&'static str>,
    /// These take a restart.
    pub restart: Vec<&'static str>,
}

/// What is different in `after`. Where a value comes from does not count.
#[must_use]
pub fn diff(before: &[Setting], after: &[Setting]) -> Differences {
    let text = |settings: &[Setting], name| {
        let setting = settings.iter().find(|setting| setting.name == name);
        setting.map(|setting| setting.text.clone())
    };
    let mut differences = Differences::default();
    for about in ALL {
        if text(before, about.name) == text(after, about.name) {
            continue;
        }
        match about.live {
            true => differences.live.push(about.name),
            false => differences.restart.push(about.name),
        }
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Sources};
    use super::*;

    #[track_caller]
    fn check(before: &[(&str, &str)], after: &[(&str, &str)], (live, restart): (&[&str], &[&str])) {
        let settings = |variables: &[(&str, &str)]| {
            let loaded = Config::load(&Sources::of(variables.iter().copied()));
            loaded.unwrap().settings
        };
        let found = diff(&settings(before), &settings(after));
        assert_eq!((&*found.live, &*found.restart), (live, restart));
    }

    #[test]
    fn a_variable_with_another_value_is_named_in_its_group() {
        check(&[], &[], (&[], &[]));
        let (a, b) = (("SMTP_BANNER", "a"), ("SMTP_BANNER", "b"));
        check(&[a], &[b], (&["SMTP_BANNER"], &[]));
        check(&[a], &[], (&["SMTP_BANNER"], &[]));
        check(&[a], &[a], (&[], &[]));
        check(
            &[("SMTP_PORT", "26"), a],
            &[("SMTP_PORT", "27"), b, ("SMTP_MAX_ERRORS", "7")],
            (&["SMTP_BANNER", "SMTP_MAX_ERRORS"], &["SMTP_PORT"]),
        );
    }

    #[test]
    fn the_default_in_words_is_the_default() {
        check(&[("SMTP_PORT", "2525")], &[], (&[], &[]));
        check(&[("SMTP_PORT", "")], &[("SMTP_PORT", " 2525 ")], (&[], &[]));
    }

    #[test]
    fn secrets_are_compared_and_not_shown() {
        let user = |password: &'static str| [("SMTP_AUTH_USERS", password)];
        let (one, other) = (user("ann:hunter2"), user("ann:hunter3"));
        check(&one, &other, (&["SMTP_AUTH_USERS"], &[]));
        check(&one, &one, (&[], &[]));
    }

    /// The default of one depends on another one.
    #[test]
    fn a_default_that_moves_counts_as_well() {
        let names = &["SMTP_QUEUE_PATH", "SMTP_CONTROL_SOCKET"];
        let mut restart = diff(
            &Config::load(&Sources::of([])).unwrap().settings,
            &Config::load(&Sources::of([("SMTP_QUEUE_PATH", "/q")]))
                .unwrap()
                .settings,
        )
        .restart;
        restart.sort_by_key(|name| names.iter().position(|known| known == name));
        assert_eq!(restart, names);
    }
}
