//! What a running process makes of a changed configuration: live values are taken, the others stay as
//! they were at its start.

use super::build::Loaded;
use super::diff::{Differences, diff};
use super::problem::ConfigProblems;
use super::sources::{Given, Sources};
use super::table::ALL;
use super::{Config, Setting};

/// A changed configuration, for a process that is running.
#[derive(Clone, Debug)]
pub struct Renewal {
    /// What is to be in force from now on.
    pub loaded: Loaded,
    /// What was changed.
    pub differences: Differences,
}

impl Loaded {
    /// What is to hold after what is given now. What systemd had read in the file of settings for the
    /// environment, which stays as it was, is what the file says now. Pure.
    ///
    /// # Errors
    /// The relay would not start with it, or its live values don't fit what is kept: all problems at
    /// once.
    pub fn renewed(&self, mut sources: Sources) -> Result<Renewal, ConfigProblems> {
        sources.leave_to_file(&self.read_twice);
        let wanted = Config::load(&sources)?;
        let differences = diff(&self.settings, &wanted.settings);
        sources.keep(&self.settings);
        let loaded = Config::load(&sources).map_err(|ConfigProblems(problems)| {
            let with_kept = problems.into_iter().map(|problem| {
                let kept = differences.restart.join(", ");
                problem.with(&format!(
                    " (until a restart, the value before of {kept} holds)"
                ))
            });
            ConfigProblems(with_kept.collect())
        })?;
        Ok(Renewal {
            loaded,
            differences,
        })
    }
}

impl Sources {
    /// From now on the values that take a restart are those of `settings`, whatever is given.
    fn keep(&mut self, settings: &[Setting]) {
        let live = |name| ALL.iter().any(|about| about.name == name && about.live);
        for setting in settings.iter().filter(|setting| !live(setting.name)) {
            let given = Given {
                value: setting.text.expose().to_owned(),
                origin: setting.origin.clone(),
            };
            self.kept.insert(setting.name, given);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(variables: &[(&str, &str)]) -> Sources {
        Sources::of(variables.iter().copied())
    }

    #[test]
    fn live_values_are_taken_and_the_others_stay() {
        let start = [("SMTP_PORT", "26"), ("SMTP_BANNER", "one")];
        let first = Config::load(&sources(&start)).unwrap();
        let changed = [("SMTP_PORT", "27"), ("SMTP_BANNER", "two")];
        let second = first.renewed(sources(&changed)).unwrap();
        let config = &second.loaded.config;
        assert_eq!((config.smtpd.port, &*config.smtpd.banner), (26, "two"));
        assert_eq!(second.differences.live, ["SMTP_BANNER"]);
        assert_eq!(second.differences.restart, ["SMTP_PORT"]);
        // and it is told again, as long as it is so
        let third = second.loaded.renewed(sources(&changed)).unwrap();
        assert_eq!(third.differences.live, [""; 0]);
        assert_eq!(third.differences.restart, ["SMTP_PORT"]);
        let back = third.loaded.renewed(sources(&start)).unwrap();
        assert_eq!(back.differences.live, ["SMTP_BANNER"]);
        assert_eq!(back.differences.restart, [""; 0]);
    }

    #[test]
    fn every_problem_is_told_and_nothing_is_taken() {
        let first = Config::load(&sources(&[])).unwrap();
        let bad = [("SMTP_PORT", "x"), ("SMTP_MAX_ERRORS", "0")];
        let problems = first.renewed(sources(&bad)).unwrap_err();
        assert_eq!(problems.0.len(), 2, "{problems}");
    }

    #[test]
    fn what_does_not_fit_what_is_kept_is_a_problem() {
        let pair = [("SMTP_TLS_CERT", "/c"), ("SMTP_TLS_KEY", "/k")];
        let start = [pair[0], pair[1], ("SMTP_TLS_PORT", "465")];
        let first = Config::load(&sources(&start)).unwrap();
        let problems = first.renewed(sources(&[])).unwrap_err().to_string();
        let want = "SMTP_TLS_PORT holds)";
        assert!(problems.ends_with(want), "{problems}");
        assert!(problems.starts_with("SMTP_TLS_PORT=465: "), "{problems}");
    }
}
