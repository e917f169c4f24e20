//! Where values come from: the environment, `.env`, and the files that secrets are in.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::dotenv::{self, DotEnv};
use super::problem::{Problem, Warning};

/// Every variable of ours begins so.
const PREFIX: &str = "SMTP_";
/// Of systemd's `RuntimeDirectory=`.
const RUNTIME_DIRECTORY: &str = "RUNTIME_DIRECTORY";
/// In the working directory.
const DOTENV: &str = ".env";
/// Names another file than that, in the environment only.
const ENV_FILE: &str = "SMTP_ENV_FILE";
/// Where an installation has its settings, and its relay the control socket: for commands in a shell that
/// says neither. A relay itself is told.
const INSTALLED_ENV_FILE: &str = "/etc/gopherpost/gopherpost.env";
const INSTALLED_RUNTIME_DIRECTORY: &str = "/run/gopherpost";
/// Longest `.env` or secret that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Everything that the configuration is made from.
pub struct Sources {
    pub(super) given: BTreeMap<String, Given>,
    /// What the file of settings says, also where the environment wins.
    in_file: BTreeMap<String, Given>,
    /// Names of what the environment sets just as the file does: systemd has read it there
    /// (`EnvironmentFile=`). It counts as the file's.
    pub(super) read_twice: BTreeSet<String>,
    pub(super) host_name: String,
    pub(super) logical_cpus: usize,
    /// Of systemd's `RuntimeDirectory=`.
    pub(super) runtime_directory: Option<String>,
    pub(super) read_file: ReadFile,
    /// What holds whatever is given: values that a process keeps until it ends.
    pub(super) kept: BTreeMap<&'static str, Given>,
    /// What went wrong while the sources were gathered.
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Warning>,
}

/// Reads a file that holds a secret.
pub(super) type ReadFile = Box<dyn Fn(&Path) -> io::Result<String> + Send>;

/// A value as it was given; never printed from here, since it may be a secret.
pub(super) struct Given {
    pub(super) value: String,
    pub(super) origin: Origin,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The environment of the process.
    Environment,
    /// `.env` in the working directory.
    DotEnv,
    /// A file named by `X_FILE`.
    File(PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::Environment => f.write_str("environment"),
            Origin::DotEnv => f.write_str(DOTENV),
            Origin::File(path) => write!(f, "file {}", path.display()),
        }
    }
}

impl Sources {
    /// The environment of this process, `.env` in its working directory, and the system.
    ///
    /// Never fails: what can't be read becomes a problem that [`super::Config::load`] reports.
    #[must_use]
    pub fn from_process() -> Sources {
        let mut sources = Sources::of([]);
        sources.host_name = rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned();
        sources.logical_cpus = std::thread::available_parallelism().map_or(1, Into::into);
        sources.read_file = Box::new(read_bounded);
        // The environment first: what is already there wins.
        sources.add_environment(std::env::vars_os());
        sources.add_file();
        sources
    }

    /// The same for a command: where no variable is set, the settings of the relay that is installed on this
    /// machine, if one is. A `.env` of another program leads nowhere.
    #[must_use]
    pub fn for_command() -> Sources {
        let mut sources = Sources::from_process();
        let installed = Path::new(INSTALLED_ENV_FILE);
        // Who may not look into its directory is told that, not that there is no relay.
        let is_there = installed.try_exists().unwrap_or(true);
        if sources.given.is_empty() && sources.problems.is_empty() && is_there {
            let runtime_directory = sources.runtime_directory.take();
            sources.runtime_directory =
                runtime_directory.or(Some(INSTALLED_RUNTIME_DIRECTORY.to_owned()));
            sources.add_named_file(installed);
        }
        sources
    }

    /// These variables as if they were the whole environment, on a host `localhost` with two CPUs
    /// and without files; for tests.
    #[must_use]
    pub fn of<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Sources {
        let mut sources = Sources {
            given: BTreeMap::new(),
            in_file: BTreeMap::new(),
            read_twice: BTreeSet::new(),
            host_name: "localhost".to_owned(),
            logical_cpus: 2,
            runtime_directory: None,
            read_file: Box::new(|_| Err(io::ErrorKind::NotFound.into())),
            kept: BTreeMap::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
        };
        for (name, value) in variables {
            sources.add(name, value, Origin::Environment);
        }
        sources
    }

    fn add_environment(&mut self, variables: impl Iterator<Item = (OsString, OsString)>) {
        for (name, value) in variables {
            let Some(name) = name.to_str() else {
                continue;
            };
            if name == RUNTIME_DIRECTORY {
                self.runtime_directory = value.to_str().and_then(first_directory);
            }
            if !name.starts_with(PREFIX) {
                continue;
            }
            match value.into_string() {
                Ok(value) => self.add(name, &value, Origin::Environment),
                Err(_) => self
                    .problems
                    .push(Problem::at(name, "expected text in UTF-8")),
            }
        }
    }

    /// `.env`, or the file that is named instead, which must be there.
    fn add_file(&mut self) {
        let named = self.given.get(ENV_FILE).map(|given| given.value.trim());
        match named.filter(|path| !path.is_empty()).map(PathBuf::from) {
            Some(path) => self.add_named_file(&path),
            None => self.add_dotenv_file(Path::new(DOTENV)),
        }
    }

    fn add_named_file(&mut self, path: &Path) {
        match read_bounded(path) {
            Ok(text) => self.add_dotenv(&dotenv::parse(&text), &Origin::File(path.to_owned())),
            Err(error) => self.problems.push(Problem::value(
                ENV_FILE,
                &path.display().to_string(),
                format!("the file cannot be read: {error}"),
            )),
        }
    }

    fn add_dotenv_file(&mut self, path: &Path) {
        match read_bounded(path) {
            Ok(text) => self.add_dotenv(&dotenv::parse(&text), &Origin::DotEnv),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self
                .problems
                .push(Problem::at(DOTENV, format!("cannot be read: {error}"))),
        }
    }

    fn add_dotenv(&mut self, dotenv: &DotEnv, origin: &Origin) {
        let file = match origin {
            Origin::File(path) => path.display().to_string(),
            _ => DOTENV.to_owned(),
        };
        for line in &dotenv.malformed_lines {
            self.problems.push(Problem::at(
                format!("{file}, line {line}"),
                "expected NAME=value; a value with blanks, # or $ in single quotes",
            ));
        }
        for (name, value) in &dotenv.assignments {
            if self.in_file.contains_key(name) {
                self.warnings.push(Warning::new(
                    format!("{name} stands in {file} more than once, and only the first counts"),
                    "remove the others",
                ));
                continue;
            }
            if name == ENV_FILE && !value.trim().is_empty() {
                let what = format!("cannot stand in {file}; set it in the environment");
                self.problems.push(Problem::at(ENV_FILE, what));
            } else if name.starts_with(PREFIX) {
                self.add_from_file(name, value, origin);
            }
        }
    }

    fn add_from_file(&mut self, name: &str, value: &str, origin: &Origin) {
        let given = || Given {
            value: value.to_owned(),
            origin: origin.clone(),
        };
        self.in_file.insert(name.to_owned(), given());
        match self.given.get(name) {
            Some(first) if first.value != value => {}
            first => {
                if first.is_some() {
                    self.read_twice.insert(name.to_owned());
                }
                self.given.insert(name.to_owned(), given());
            }
        }
    }

    /// From now on these variables are what the file says, and not set if it says nothing.
    pub(super) fn leave_to_file(&mut self, names: &BTreeSet<String>) {
        for name in names {
            match self.in_file.remove(name) {
                Some(given) => self.given.insert(name.clone(), given),
                None => self.given.remove(name),
            };
        }
        self.read_twice.clone_from(names);
    }

    /// Whoever comes first wins.
    fn add(&mut self, name: &str, value: &str, origin: Origin) {
        self.given.entry(name.to_owned()).or_insert_with(|| Given {
            value: value.to_owned(),
            origin,
        });
    }
}

/// systemd gives several directories with colons between them; the first is ours.
fn first_directory(given: &str) -> Option<String> {
    let first = given.split(':').next()?;
    (!first.is_empty()).then(|| first.to_owned())
}

fn read_bounded(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other("the file is larger than 1 MiB"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[track_caller]
    fn check(sources: &Sources, name: &str, value: &str, origin: &Origin) {
        let given = &sources.given[name];
        assert_eq!((given.value.as_str(), &given.origin), (value, origin));
    }

    #[test]
    fn the_environment_wins_over_dotenv() {
        let mut sources = Sources::of([("SMTP_PORT", "1")]);
        sources.add_dotenv(
            &dotenv::parse("SMTP_PORT=2\nSMTP_MODE=sink\nOTHER=x\n"),
            &Origin::DotEnv,
        );
        check(&sources, "SMTP_PORT", "1", &Origin::Environment);
        check(&sources, "SMTP_MODE", "sink", &Origin::DotEnv);
        assert_eq!(sources.given.len(), 2);
        assert!(sources.warnings.is_empty());
    }

    #[test]
    fn what_environment_and_file_say_alike_is_the_files() {
        let mut sources = Sources::of([("SMTP_PORT", "1"), ("SMTP_MODE", "hold")]);
        let text = dotenv::parse("SMTP_PORT=1\nSMTP_MODE=sink\n");
        sources.add_dotenv(&text, &Origin::DotEnv);
        check(&sources, "SMTP_PORT", "1", &Origin::DotEnv);
        check(&sources, "SMTP_MODE", "hold", &Origin::Environment);
        assert_eq!(sources.read_twice, BTreeSet::from(["SMTP_PORT".to_owned()]));
        assert!(sources.warnings.is_empty());
    }

    #[test]
    fn only_our_variables_are_taken_from_the_environment() {
        let mut sources = Sources::of([]);
        let os = |text: &str| OsString::from(text);
        let odd = OsString::from_vec(vec![0xff]);
        sources.add_environment(
            [
                (os("SMTP_PORT"), os("1")),
                (os("PATH"), odd.clone()),
                (odd.clone(), os("x")),
                (os("SMTP_BANNER"), odd),
            ]
            .into_iter(),
        );
        assert_eq!(sources.given.len(), 1);
        assert_eq!(
            sources.problems,
            [Problem::at("SMTP_BANNER", "expected text in UTF-8")]
        );
    }

    #[test]
    fn a_variable_twice_in_dotenv_is_told() {
        let mut sources = Sources::of([]);
        sources.add_dotenv(
            &dotenv::parse("SMTP_PORT=1\nSMTP_PORT=2\n"),
            &Origin::DotEnv,
        );
        check(&sources, "SMTP_PORT", "1", &Origin::DotEnv);
        assert_eq!(sources.warnings.len(), 1);
    }

    #[test]
    fn a_malformed_dotenv_is_told_with_file_and_line() {
        let mut sources = Sources::of([]);
        let text = dotenv::parse("SMTP_PORT=1\nSMTP_BANNER=hunter2 ready\n");
        sources.add_dotenv(&text, &Origin::DotEnv);
        let text = sources.problems[0].to_string();
        assert!(text.starts_with(".env, line 2: "), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }

    #[test]
    fn a_dotenv_may_be_missing_but_not_unreadable() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".env");
        let mut sources = Sources::of([]);
        sources.add_dotenv_file(&path);
        assert!(sources.problems.is_empty() && sources.given.is_empty());
        std::fs::write(&path, "SMTP_PORT=1\n").unwrap();
        sources.add_dotenv_file(&path);
        check(&sources, "SMTP_PORT", "1", &Origin::DotEnv);
        sources.add_dotenv_file(dir.path());
        let text = sources.problems[0].to_string();
        assert!(text.starts_with(".env: cannot be read: "), "{text}");
    }

    #[test]
    fn another_file_may_be_named_and_then_it_must_be_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gopherpost.env");
        let shown = path.display().to_string();
        let mut sources = Sources::of([("SMTP_ENV_FILE", &*shown)]);
        sources.add_file();
        let text = sources.problems[0].to_string();
        let want = format!("SMTP_ENV_FILE={shown}: the file cannot be read: ");
        assert!(text.starts_with(&want), "{text}");

        std::fs::write(&path, "SMTP_PORT=7\nSMTP_ENV_FILE=/other\nx y\n").unwrap();
        let mut sources = Sources::of([("SMTP_ENV_FILE", &*shown)]);
        sources.add_file();
        check(&sources, "SMTP_PORT", "7", &Origin::File(path));
        let told: Vec<String> = sources.problems.iter().map(ToString::to_string).collect();
        assert!(
            told[0].starts_with(&format!("{shown}, line 3: ")),
            "{told:?}"
        );
        let want = format!("SMTP_ENV_FILE: cannot stand in {shown}; set it in the environment");
        assert_eq!(told[1..], [want]);
    }

    #[test]
    fn the_process_has_a_host_name_and_cpus() {
        let sources = Sources::from_process();
        assert!(!sources.host_name.is_empty());
        assert!(sources.logical_cpus >= 1);
    }

    #[test]
    fn files_are_read_up_to_a_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, vec![b'a'; 1024 * 1024]).unwrap();
        assert_eq!(read_bounded(&path).unwrap().len(), 1024 * 1024);
        std::fs::write(&path, vec![b'a'; 1024 * 1024 + 1]).unwrap();
        assert!(read_bounded(&path).is_err());
        std::fs::write(&path, [0xff]).unwrap();
        assert!(read_bounded(&path).is_err());
        assert!(read_bounded(&dir.path().join("none")).is_err());
    }
}
