//! What is made from the definition of the commands: completions, man pages, and docs/commands.md.

use std::io::Write as _;
use std::path::Path;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::commands::Cli;
use super::ending::{CommandError, Outcome};
use super::screen::output;

/// Prints completions for a shell.
pub(super) fn completions(shell: Shell) -> Outcome {
    let mut made = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "gopherpost", &mut made);
    let mut out = output();
    out.write_all(&made)?;
    out.flush()?;
    Ok(())
}

/// Writes a man page for each command into `directory`.
pub(super) fn man(directory: &Path) -> Outcome {
    let failed = |error| CommandError::Failed(format!("{}: {error}", directory.display()));
    std::fs::create_dir_all(directory).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), directory).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use expect_test::expect_file;

    use super::*;

    /// Width of the page's lines.
    const PAGE_COLUMNS: usize = 96;

    #[test]
    fn the_page_is_made_from_the_definition() {
        expect_file!["../../docs/commands.md"].assert_eq(&commands_page());
    }

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_is_for() {
        fn check(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in command.get_arguments() {
                let name = argument.get_id();
                assert!(
                    argument.get_help().is_some(),
                    "{} {name}",
                    command.get_name()
                );
            }
            command.get_subcommands().for_each(check);
        }
        let mut root = Cli::command();
        root.build();
        check(&root);
    }

    /// The text of `docs/commands.md`.
    fn commands_page() -> String {
        let mut page = String::from(
        "\
# Commands

<!-- Made from src/cli/commands.rs: don't edit it here.
     To make it again: UPDATE_EXPECT=1 cargo test --locked --lib cli::manual -->

- **With a running relay** commands ask it over `SMTP_CONTROL_SOCKET` (HTTP and JSON, see
  `GET /api/v1/openapi.json`); who may open the socket may ask. **Without one** they open the queue
  themselves, say so on standard error, and close it again. Never both. As root, a command that opens the
  queue becomes the queue's owner first, so what it exports must be writable for that user.
- **Nothing is done by mistake.** An order for recipients of more than one message shows how many are meant
  and asks first; where nobody can answer, it wants `--yes`. `--dry-run` counts and shows a sample. Without a
  filter it wants `--all`. What was purged can be restored for `SMTP_UNDO_WINDOW`. Who did what, when and
  why (`--reason`) stands in the log and in the messages' history.
- **Filters** are the same everywhere: what is given must all match, and of a list, separated by commas, one
  part. `--from`, `--to` and `--domain` take `*` for anything.
- **`--json`** prints JSON Lines as the API gives them. Times are RFC 3339 in UTC. States are `queued`,
  `in_flight`, `deferred`, `held`, `delivered`, `failed`, `expired` and `purged`.
- **On a terminal** tables fit its width and have colours, unless `NO_COLOR` is set; elsewhere nothing is cut.
- **Exit status**: 0 done, 1 failed, 2 wrong usage, 3 nothing matched.
",
    );
        let mut root = Cli::command()
            .term_width(PAGE_COLUMNS)
            .disable_help_subcommand(true);
        root.build();
        describe(&mut root, &mut page);
        page
    }

    fn describe(command: &mut clap::Command, page: &mut String) {
        let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
        let name = name.to_owned();
        let help = command.render_help().to_string();
        let lines: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
        let help = lines.join("\n");
        // a String takes everything
        let _ = write!(page, "\n## {name}\n\n```text\n{help}\n```\n");
        for below in command.get_subcommands_mut() {
            if below.get_name() != "help" {
                describe(below, page);
            }
        }
    }
}
