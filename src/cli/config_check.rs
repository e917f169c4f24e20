//! `gopherpost config check`: what is in force, from where, and what is wrong.

use std::io::{self, Write};

use clap::Subcommand;

use crate::config::{Config, Examination, Setting, Sources, examine};
use crate::inbound;

use super::ending::{CommandError, Outcome};

#[derive(Subcommand)]
pub(super) enum ConfigCommand {
    /// Print what is in force and from where, and every problem; exit status 1 if there is one
    Check,
}

/// Does it.
pub(super) fn run(command: &ConfigCommand, sources: &Sources) -> Outcome {
    let ConfigCommand::Check = command;
    match config_check(sources, &mut io::stdout().lock())? {
        0 => Ok(()),
        _ => Err(CommandError::Told),
    }
}

/// Prints settings, warnings and problems of `sources` to `out`. Gives the exit status: 0 if the
/// relay would start with them, otherwise 1.
///
/// # Errors
/// `out` can't be written to.
fn config_check(sources: &Sources, out: &mut impl Write) -> io::Result<u8> {
    let examined = examine(sources);
    print(&examined, out)?;
    let problems = match &examined.outcome {
        Ok(config) => problems_of_files(config),
        Err(problems) => problems.0.iter().map(ToString::to_string).collect(),
    };
    for problem in &problems {
        writeln!(out, "problem: {problem}")?;
    }
    out.flush()?;
    Ok(u8::from(!problems.is_empty()))
}

/// What is wrong with files that values name, and would stop the start.
fn problems_of_files(config: &Config) -> Vec<String> {
    let tls = config.tls.as_ref().map(inbound::check_certificate);
    let tls = tls.and_then(Result::err).map(|error| error.to_string());
    let dkim = inbound::check_dkim_keys(&config.dkim).err();
    let dkim = dkim.map(|error| error.to_string());
    tls.into_iter().chain(dkim).collect()
}

fn print(examined: &Examination, out: &mut impl Write) -> io::Result<()> {
    let name_width = widest(&examined.settings, |setting| setting.name);
    for setting in &examined.settings {
        let Setting {
            name,
            shown,
            origin,
            ..
        } = setting;
        if shown.is_empty() {
            writeln!(out, "{name:name_width$} =  (not set)")?;
        } else {
            writeln!(out, "{name:name_width$} = {shown}  ({origin})")?;
        }
    }
    for warning in &examined.warnings {
        writeln!(out, "warning: {warning}")?;
    }
    Ok(())
}

fn widest(settings: &[Setting], text: impl Fn(&Setting) -> &str) -> usize {
    let widths = settings.iter().map(|setting| text(setting).len());
    widths.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(variables: &[(&str, &str)]) -> (u8, String) {
        let mut out = Vec::new();
        let sources = Sources::of(variables.iter().copied());
        let status = config_check(&sources, &mut out).unwrap();
        (status, String::from_utf8(out).unwrap())
    }

    #[track_caller]
    fn check_line(printed: &str, want: &str) {
        assert!(printed.lines().any(|line| line == want), "{printed}");
    }

    #[test]
    fn what_is_in_force_is_printed_with_its_origin() {
        let (status, printed) = check(&[
            ("SMTP_MODE", "hold"),
            ("SMTP_ALLOW_HOSTS", "app.test"),
            ("SMTP_TLS_DISABLE", "true"),
        ]);
        assert_eq!(status, 0);
        check_line(
            &printed,
            "SMTP_PORT                        = 2525  (default)",
        );
        check_line(
            &printed,
            "SMTP_MODE                        = hold  (environment)",
        );
        check_line(&printed, "SMTP_RELAY_HOST                  =  (not set)");
        check_line(
            &printed,
            "SMTP_MAX_CONNECTIONS_PER_CLIENT  = 500  (default)",
        );
        assert!(!printed.contains("warning"), "{printed}");
    }

    #[test]
    fn warnings_and_problems_follow_and_the_status_is_1() {
        let (status, printed) = check(&[
            ("SMTP_PORT", "abc"),
            ("SMTP_MODE", "on"),
            ("SMTP_PROT", "25"),
        ]);
        assert_eq!(status, 1);
        let tail: Vec<&str> = printed.lines().rev().take(4).collect();
        assert_eq!(
            tail,
            [
                "problem: SMTP_PORT=abc: expected a port from 1 to 65535",
                "problem: SMTP_MODE=on: expected deliver, hold or sink",
                "warning: SMTP_PROT is unknown and has no effect; \
                 the nearest that is known is SMTP_PORT",
                "warning: nobody may connect: SMTP_ALLOW_NETWORKS and SMTP_ALLOW_HOSTS are empty; \
                 set one of them, for example SMTP_ALLOW_NETWORKS=127.0.0.0/8,::1",
            ]
        );
    }

    #[test]
    fn a_certificate_that_can_not_be_used_is_a_problem() {
        let (status, printed) = check(&[
            ("SMTP_TLS_CERT", "/nowhere/cert.pem"),
            ("SMTP_TLS_KEY", "/nowhere/key.pem"),
        ]);
        assert_eq!(status, 1);
        let problem = "problem: SMTP_TLS_CERT=/nowhere/cert.pem: can't be read";
        assert!(printed.contains(problem), "{printed}");
    }

    #[test]
    fn warnings_alone_leave_the_status_at_0() {
        let (status, printed) = check(&[("SMTP_ADMIN_TOKEN", "x")]);
        assert_eq!(status, 0);
        assert!(printed.contains("warning: SMTP_ADMIN_TOKEN"), "{printed}");
    }
}
