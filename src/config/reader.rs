//! Takes one variable after the other from the sources, and remembers what was wrong.

use std::path::PathBuf;

use super::problem::{Problem, Warning, cut, one_line};
use super::refusal::Refusal;
use super::secret::{MASK, Secret};
use super::sources::{Origin, Sources};
use super::table::{SMTP_QUEUE_PATH, WORKERS_MAX};
use super::variable::{About, DefaultValue, Variable};

/// A variable and what is in force for it, as it may be printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The variable.
    pub name: &'static str,
    /// Its text as given, `[secret]` for a secret, empty when it is not set.
    pub shown: String,
    /// Where it comes from.
    pub origin: Origin,
    /// Its text, for comparing.
    pub(super) text: Secret,
}

/// Reads variables; a value that can't be taken is a problem, and a stand-in goes on in its place,
/// so that one pass finds all problems.
pub(super) struct Reader<'a> {
    sources: &'a Sources,
    refused: Vec<&'static str>,
    pub(super) settings: Vec<Setting>,
    pub(super) warnings: Vec<Warning>,
    pub(super) problems: Vec<Problem>,
}

/// What holds for a variable, before it is parsed.
struct Found {
    text: String,
    origin: Origin,
}

impl<'a> Reader<'a> {
    pub(super) fn new(sources: &'a Sources) -> Reader<'a> {
        Reader {
            sources,
            refused: Vec::new(),
            settings: Vec::new(),
            warnings: sources.warnings.clone(),
            problems: sources.problems.clone(),
        }
    }

    /// The value of `variable`. When there is a problem with it, some value of the type: whoever
    /// uses it must look at `problems` in the end.
    pub(super) fn value<T>(&mut self, variable: &Variable<T>) -> T {
        let about = &variable.about;
        match self.find(about) {
            Ok(found) => match (variable.parse)(&found.text) {
                Ok(value) => {
                    self.note(about, found);
                    return value;
                }
                Err(refusal) => self.refuse(about, found, &refusal),
            },
            Err(problem) => {
                self.refused.push(about.name);
                self.problems.push(problem);
            }
        }
        (variable.parse)(stand_in(about.default)).expect(
            "stand-ins fit their variables: `every_variable_that_can_be_refused_has_a_stand_in`",
        )
    }

    /// Whether none of these was refused, so that a relation between them says something.
    pub(super) fn all_taken(&self, names: &[&'static str]) -> bool {
        names.iter().all(|name| !self.refused.contains(name))
    }

    /// What may be printed of a variable that was read.
    pub(super) fn shown(&self, name: &str) -> &str {
        let setting = self.settings.iter().find(|setting| setting.name == name);
        setting.map_or("", |setting| &setting.shown)
    }

    /// Every variable that was given, known or not, with its text.
    pub(super) fn given_variables(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let given = self.sources.given.iter();
        given.map(|(name, given)| (name.as_str(), given.value.as_str()))
    }

    /// The text that holds for a variable: given, in a file, or the default.
    fn find(&self, about: &About) -> Result<Found, Problem> {
        if let Some(kept) = self.sources.kept.get(about.name) {
            return Ok(Found {
                text: kept.value.clone(),
                origin: kept.origin.clone(),
            });
        }
        let given = self.given(about.name, about.secret);
        if about.secret {
            let file_variable = format!("{}_FILE", about.name);
            if let Some(file) = self.given(&file_variable, false) {
                if given.is_some() {
                    let what = format!("{} is set, too; set one of the two", about.name);
                    return Err(Problem::value(&file_variable, &file.text, what));
                }
                return self.find_in_file(&file_variable, &file.text);
            }
        }
        Ok(given.unwrap_or_else(|| Found {
            text: self.default_text(about.default),
            origin: Origin::Default,
        }))
    }

    /// A variable that is set to something. A secret keeps its blanks.
    fn given(&self, name: &str, is_secret: bool) -> Option<Found> {
        let given = self.sources.given.get(name)?;
        let text = if is_secret {
            &given.value
        } else {
            given.value.trim()
        };
        (!text.is_empty()).then(|| Found {
            text: text.to_owned(),
            origin: given.origin.clone(),
        })
    }

    /// A secret from a file; the line end that editors add does not belong to it.
    fn find_in_file(&self, file_variable: &str, path: &str) -> Result<Found, Problem> {
        let path = PathBuf::from(path);
        let problem =
            |what: String| Problem::value(file_variable, &path.display().to_string(), what);
        let text = (self.sources.read_file)(&path)
            .map_err(|error| problem(format!("the file cannot be read: {error}")))?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.is_empty() {
            return Err(problem("the file is empty".to_owned()));
        }
        Ok(Found {
            text: text.to_owned(),
            origin: Origin::File(path),
        })
    }

    fn default_text(&self, default: DefaultValue) -> String {
        match default {
            DefaultValue::Text(text) => text.to_owned(),
            DefaultValue::HostName => self.sources.host_name.clone(),
            DefaultValue::ControlSocket => self.control_socket(),
            DefaultValue::LogicalCpus => {
                self.sources.logical_cpus.clamp(1, WORKERS_MAX).to_string()
            }
        }
    }

    fn control_socket(&self) -> String {
        let queue = || {
            self.find(&SMTP_QUEUE_PATH.about)
                .ok()
                .map(|found| found.text)
        };
        let directory = self.sources.runtime_directory.clone().or_else(queue);
        format!("{}/control.sock", directory.unwrap_or_default())
    }

    fn note(&mut self, about: &About, found: Found) {
        self.note_as(about, printable(about, &found.text), &found);
    }

    fn note_as(&mut self, about: &About, shown: &str, found: &Found) {
        self.settings.push(Setting {
            name: about.name,
            shown: one_line(shown),
            origin: found.origin.clone(),
            text: Secret::new(found.text.clone()),
        });
    }

    fn refuse(&mut self, about: &About, found: Found, refusal: &Refusal) {
        let expected = about.expected;
        let what = match refusal {
            Refusal::Unexpected => format!("expected {expected}"),
            // What a parser says of a secret may repeat it.
            Refusal::Because(_) if about.secret => format!("expected {expected}"),
            Refusal::Because(why) => format!("expected {expected} ({})", cut(why)),
            Refusal::Unprintable(why) => format!("expected {expected} ({why})"),
        };
        let shown = match refusal {
            Refusal::Unprintable(_) => MASK,
            Refusal::Unexpected | Refusal::Because(_) => printable(about, &found.text),
        };
        self.problems.push(match &found.origin {
            Origin::Default => Problem::at(
                about.name,
                format!("not set, and the system's {shown:?} does not fit: {what}"),
            ),
            Origin::Environment | Origin::DotEnv | Origin::File(_) => {
                Problem::value(about.name, shown, what)
            }
        });
        self.refused.push(about.name);
        self.note_as(about, shown, &found);
    }
}

fn printable<'t>(about: &About, text: &'t str) -> &'t str {
    if about.secret && !text.is_empty() {
        MASK
    } else {
        text
    }
}

/// What goes on in place of a value that was refused, so that the next variables are read, too.
fn stand_in(default: DefaultValue) -> &'static str {
    match default {
        DefaultValue::Text(text) => text,
        DefaultValue::HostName => "localhost",
        DefaultValue::ControlSocket => "control.sock",
        DefaultValue::LogicalCpus => "1",
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::refusal::Parsed;
    use super::super::secret::Secret;
    use super::super::value::{optional, port};
    use super::super::variable::Section;
    use super::*;

    static PASSWORD: Variable<Option<Secret>> = Variable {
        about: About {
            name: "SMTP_TEST_PASSWORD",
            section: Section::Access,
            default: DefaultValue::Text(""),
            expected: "at least six characters",
            meaning: "For tests.",
            secret: true,
            live: true,
        },
        parse: |text| optional(text, password),
    };

    fn password(text: &str) -> Parsed<Secret> {
        if text.len() < 6 {
            return Err(Refusal::Because(format!("{text} is too short")));
        }
        Ok(Secret::new(text.to_owned()))
    }

    static PORT: Variable<Option<u16>> = Variable {
        about: About {
            name: "SMTP_TEST_PORT",
            section: Section::Access,
            default: DefaultValue::Text("7"),
            expected: "a port",
            meaning: "For tests.",
            secret: false,
            live: true,
        },
        parse: |text| optional(text, port),
    };

    /// Sources with the files that the tests name.
    fn sources(variables: &[(&'static str, &'static str)]) -> Sources {
        let mut sources = Sources::of(variables.iter().copied());
        sources.read_file = Box::new(|path: &Path| match path.to_str() {
            Some("/run/good") => Ok("hunter2\n".to_owned()),
            Some("/run/dos") => Ok("hunter2\r\n".to_owned()),
            Some("/run/blanks") => Ok(" hunter2 \n\n".to_owned()),
            Some("/run/short") => Ok("abc\n".to_owned()),
            Some("/run/empty") => Ok("\n".to_owned()),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        });
        sources
    }

    #[track_caller]
    fn check_secret(variables: &[(&'static str, &'static str)], want: &str, origin: Origin) {
        let sources = sources(variables);
        let mut reader = Reader::new(&sources);
        let secret = reader.value(&PASSWORD).unwrap();
        assert_eq!(secret.expose(), want);
        assert_eq!(reader.problems, []);
        let want = Setting {
            name: "SMTP_TEST_PASSWORD",
            shown: "[secret]".to_owned(),
            origin,
            text: Secret::new(want.to_owned()),
        };
        assert_eq!(reader.settings, [want]);
    }

    #[track_caller]
    fn check_secret_problem(variables: &[(&'static str, &'static str)], want: &str) {
        let sources = sources(variables);
        let mut reader = Reader::new(&sources);
        assert_eq!(reader.value(&PASSWORD), None);
        let got: Vec<String> = reader.problems.iter().map(ToString::to_string).collect();
        assert_eq!(got, [want]);
        assert!(!reader.all_taken(&["SMTP_TEST_PASSWORD"]));
        assert!(!format!("{:?}", reader.settings).contains("abc"));
    }

    #[test]
    fn a_secret_is_given_directly_or_in_a_file() {
        let file = |path: &str| Origin::File(PathBuf::from(path));
        let name = "SMTP_TEST_PASSWORD";
        let in_file = "SMTP_TEST_PASSWORD_FILE";
        check_secret(&[(name, "hunter2")], "hunter2", Origin::Environment);
        check_secret(&[(name, " hunter2 ")], " hunter2 ", Origin::Environment);
        check_secret(&[(in_file, "/run/good")], "hunter2", file("/run/good"));
        check_secret(&[(in_file, "/run/dos")], "hunter2", file("/run/dos"));
        check_secret(
            &[(in_file, "/run/blanks")],
            " hunter2 \n",
            file("/run/blanks"),
        );
        check_secret(
            &[(name, ""), (in_file, "/run/good")],
            "hunter2",
            file("/run/good"),
        );
        check_secret(
            &[(name, "hunter2"), (in_file, "")],
            "hunter2",
            Origin::Environment,
        );
    }

    #[test]
    fn a_problem_with_a_secret_does_not_repeat_it() {
        let name = "SMTP_TEST_PASSWORD";
        let in_file = "SMTP_TEST_PASSWORD_FILE";
        check_secret_problem(
            &[(name, "abc")],
            "SMTP_TEST_PASSWORD=[secret]: expected at least six characters",
        );
        check_secret_problem(
            &[(in_file, "/run/short")],
            "SMTP_TEST_PASSWORD=[secret]: expected at least six characters",
        );
        check_secret_problem(
            &[(name, "abcdef"), (in_file, "/run/good")],
            "SMTP_TEST_PASSWORD_FILE=/run/good: SMTP_TEST_PASSWORD is set, too; set one of the two",
        );
        check_secret_problem(
            &[(in_file, "/run/none")],
            "SMTP_TEST_PASSWORD_FILE=/run/none: the file cannot be read: entity not found",
        );
        check_secret_problem(
            &[(in_file, "/run/empty")],
            "SMTP_TEST_PASSWORD_FILE=/run/empty: the file is empty",
        );
    }

    #[test]
    fn a_secret_that_is_not_set_is_shown_as_not_set() {
        let sources = sources(&[]);
        let mut reader = Reader::new(&sources);
        assert_eq!(reader.value(&PASSWORD), None);
        assert_eq!(reader.settings[0].shown, "");
    }

    #[track_caller]
    fn check_port(given: &'static str, want: Option<u16>, origin: Origin) {
        let sources = sources(&[("SMTP_TEST_PORT", given)]);
        let mut reader = Reader::new(&sources);
        assert_eq!(reader.value(&PORT), want);
        assert_eq!(reader.problems, []);
        assert_eq!(reader.settings[0].origin, origin);
    }

    #[test]
    fn blanks_around_a_value_are_nothing_and_nothing_is_unset() {
        check_port(" 25 ", Some(25), Origin::Environment);
        check_port("", Some(7), Origin::Default);
        check_port(" \t ", Some(7), Origin::Default);
    }
}
