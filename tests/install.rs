//! `install.sh` as far as nobody needs root: what it says it would do, and what it refuses. What it does is
//! tried on a machine with systemd, by `tests/interop/systemd.py`.

use std::path::Path;
use std::process::{Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_gopherpost");
/// What a machine may have of its own is set aside: ports that something listens on, and its name.
const SETTINGS: [(&str, &str); 3] = [
    ("SMTP_PORT", "1"),
    ("SMTP_HEALTH_DISABLE", "true"),
    ("SMTP_HOSTNAME", "gp.test"),
];

/// With nothing in the environment but where programs are, and nobody at standard input.
fn install_sh(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("install.sh"))
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("install.sh can be run")
}

/// What `--dry-run` says, with these settings and `SETTINGS`.
fn dry_run(variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let variables: Vec<_> = SETTINGS.iter().chain(variables).copied().collect();
    let output = install_sh(&["--dry-run", "--yes", "--binary", PROGRAM], &variables);
    let mut told = String::from_utf8_lossy(&output.stdout).into_owned();
    told.push_str(&String::from_utf8_lossy(&output.stderr));
    (output.status.code(), told)
}

#[track_caller]
fn check_refused(variable: (&str, &str), words: &str) {
    let (status, told) = dry_run(&[variable]);
    assert_eq!(status, Some(1), "{told}");
    assert!(told.contains(words), "{words:?} in: {told}");
    assert!(!told.contains("would"), "{told}");
}

#[test]
fn dry_run_tells_what_it_would_do_to_anybody() {
    let (status, told) = dry_run(&[]);
    assert_eq!(status, Some(0), "{told}");
    for words in [
        "useradd --system",
        "/var/lib/gopherpost/spool",
        "would write /etc/gopherpost/gopherpost.env (0640 root:gopherpost)",
        "would write /usr/local/bin/gopherpost",
    ] {
        assert!(told.contains(words), "{words:?} in: {told}");
    }
}

#[test]
fn a_queue_where_a_service_can_not_have_it_is_refused() {
    for (path, words) in [
        ("data/spool", "SMTP_QUEUE_PATH=data/spool is relative"),
        ("", "is relative"),
        ("/", "belongs to the system"),
        ("/var", "belongs to the system"),
        ("/etc/gopherpost/spool", "belongs to the system"),
        ("/var/lib/../spool", "without ., .."),
        ("/home/mail/spool", "doesn't see /home"),
        ("/var/lib/my queue", "only letters, digits"),
    ] {
        check_refused(("SMTP_QUEUE_PATH", path), words);
    }
}

#[test]
fn what_the_program_would_not_start_with_is_refused_in_its_words() {
    check_refused(
        ("SMTP_LISTEN_ADDRESSES", "127.0.0.300"),
        "problem: SMTP_LISTEN_ADDRESSES=127.0.0.300: expected IP addresses",
    );
    check_refused(("SMTP_BANNER", "two\nlines"), "SMTP_BANNER: line ends");
}

#[test]
fn any_value_comes_to_the_program_as_it_was_given() {
    // `config check` reads the file as install.sh wrote it; what it finds wrong it repeats.
    for value in ["it's", "\"a\" b", "#1", "$HOME", r"back\slash", "`x`", "''"] {
        check_refused(
            ("SMTP_MODE", value),
            &format!("problem: SMTP_MODE={value}: expected"),
        );
    }
}

#[test]
fn a_file_that_is_read_in_two_ways_is_refused_without_repeating_it() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let file = directory.path().join("values");
    let path = file.to_str().expect("UTF-8");
    for (text, words) in [
        (
            "SMTP_BANNER=two words",
            "values, line 1: SMTP_BANNER: put the value in single quotes",
        ),
        (
            "# x\nSMTP_BANNER=a$b",
            "values, line 2: SMTP_BANNER: put the value",
        ),
        (
            "SMTP_BANNER='a' # b",
            "values, line 1: SMTP_BANNER: put the value",
        ),
        (
            "SMTP_BANNER='a",
            "values, line 1: SMTP_BANNER: put the value",
        ),
        ("SMTP_BANNER", "values, line 1: expected NAME=value"),
        (
            "SMTP_PORT=1\nSMTP_PORT=2",
            "values, line 2: SMTP_PORT stands there twice",
        ),
    ] {
        std::fs::write(&file, text).expect("a file can be written");
        let arguments = ["--dry-run", "--yes", "--binary", PROGRAM, "--config", path];
        let output = install_sh(&arguments, &SETTINGS);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text}: {told}");
        assert!(told.contains(words), "{words:?} in: {told}");
        assert!(!told.contains("two words"), "{told}");
    }
}

#[test]
fn what_install_sh_takes_for_the_relays_defaults_is_so() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let output = Command::new(PROGRAM)
        .args(["config", "check"])
        .env_clear()
        .current_dir(directory.path())
        .output()
        .expect("the program runs");
    let told = String::from_utf8_lossy(&output.stdout);
    let script = include_str!("../install.sh");
    let (_, function) = script
        .split_once("relay_default_of() {")
        .expect("it is there");
    let (function, _) = function.split_once("\n}").expect("it ends");
    let mut held = 0;
    for line in function.lines() {
        let Some((variable, default)) = line.trim().split_once(") echo ") else {
            continue;
        };
        let default = default.trim_end_matches(" ;;");
        let is_so = |line: &str| {
            line.split_once(" = ").is_some_and(|(name, value)| {
                name.trim_end() == variable && value == format!("{default}  (default)")
            })
        };
        assert!(told.lines().any(is_so), "{variable}={default} in: {told}");
        held += 1;
    }
    assert_eq!(held, 4);
}

/// The value of a line of the service's unit.
fn of_unit(name: &str) -> &'static str {
    let unit = include_str!("../packaging/systemd/gopherpost.service");
    let mut lines = unit.lines().filter_map(|line| line.strip_prefix(name));
    let value = lines.find_map(|rest| rest.strip_prefix('='));
    value.unwrap_or_else(|| panic!("the unit has no {name}="))
}

/// As [`of_unit`], in seconds.
fn seconds_of_unit(name: &str) -> u64 {
    let value = of_unit(name).strip_suffix('s').expect("in seconds");
    value.parse().expect("a number")
}

#[test]
fn the_service_is_as_patient_as_the_documentation_says() {
    // One flush, and a quarter of the watchdog's time, may pass between two signs of life.
    let watchdog = seconds_of_unit("WatchdogSec");
    let page = include_str!("../docs/monitoring.md").replace('\n', " ");
    assert!(page.contains("A single flush is given 120 s"), "{page}");
    assert!(page.contains("no shorter than 180 s"), "{page}");
    assert!(watchdog >= 180 && 120 + watchdog / 4 < watchdog);
    // SMTP_SHUTDOWN_GRACE by default, and what comes after it.
    assert!(seconds_of_unit("TimeoutStopSec") >= 30 + 30);
    assert_eq!(of_unit("Type"), "notify");
    assert_eq!(of_unit("Restart"), "always");
    assert_eq!(of_unit("StartLimitIntervalSec"), "0");
}

#[test]
fn usage_is_told() {
    let output = install_sh(&["--help"], &[]);
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout.starts_with(b"usage: ./install.sh"));
    let output = install_sh(&["--frce"], &[]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("there is no option --frce"), "{told}");
}

#[test]
fn nobody_to_ask_and_no_program_are_told() {
    let output = install_sh(&["--dry-run"], &SETTINGS);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        told.contains("nobody can be asked here: give --yes"),
        "{told}"
    );
    let arguments = ["--dry-run", "--yes", "--binary", "/nowhere/gopherpost"];
    let output = install_sh(&arguments, &SETTINGS);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("/nowhere/gopherpost is no program"), "{told}");
}
