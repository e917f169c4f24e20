//! What is said at start, and what stops one: a clear line for each cause, exit status 1, nothing
//! touched.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::support::{StartFailure, World, mail};

/// Everything that stops a start because of the configuration is said behind these lines.
const CONFIG_HINT: &str = "gopherpost config check shows everything that is in force";

#[tokio::test]
async fn all_mistakes_are_told_at_once_each_with_its_variable() {
    let failure = World::setup()
        .set("SMTP_MODE", "on")
        .set("SMTP_MAX_RECIPIENTS", "5")
        .set("SMTP_ALLOW_NETWORKS", "127.0.0.0/8,10.0.0.300")
        .set("SMTP_RETRY_CAP", "1ms")
        .set("SMTP_TLS_POLICY", "may")
        .expect_start_failure()
        .await;
    assert_eq!(failure.code, Some(1), "{failure:?}");
    let lines: Vec<&str> = failure.output.lines().collect();
    let beginnings = [
        "SMTP_MODE=on: expected ",
        "SMTP_MAX_RECIPIENTS=5: expected ",
        "SMTP_ALLOW_NETWORKS=127.0.0.0/8,10.0.0.300: expected ",
        "SMTP_TLS_POLICY=may: expected ",
        "SMTP_RETRY_CAP=1ms: expected ",
        CONFIG_HINT,
    ];
    assert_eq!(lines.len(), beginnings.len(), "{}", failure.output);
    for (line, beginning) in lines.iter().zip(beginnings) {
        let beginning = format!("gopherpost: {beginning}");
        assert!(line.starts_with(&beginning), "{beginning:?}: {line:?}");
    }
}

#[tokio::test]
async fn what_this_version_can_not_grant_is_told() {
    let world = World::setup().set("SMTP_ADMIN_TOKEN", "x").await;
    let mut lines = world.log().lines().into_iter();
    assert!(lines.any(|line| line.is("warning") && line.text.contains("SMTP_ADMIN_TOKEN")));
}

#[tokio::test]
async fn a_relay_for_everybody_needs_the_exact_words() {
    for (networks, words) in [
        ("0.0.0.0/0", ""),
        ("::/0", ""),
        ("0.0.0.0/1,128.0.0.0/1", "yes"),
    ] {
        let setup = World::setup()
            .set("SMTP_ALLOW_NETWORKS", networks)
            .set("SMTP_ALLOW_OPEN_RELAY", words);
        let failure = setup.expect_start_failure().await;
        let told = failure.output.lines();
        let about_networks = format!("SMTP_ALLOW_NETWORKS={networks}: ");
        let telling: Vec<&str> = told.filter(|line| line.contains(&about_networks)).collect();
        assert!(
            failure.code == Some(1) && telling.len() == 1,
            "{networks} {words}: {failure:?}"
        );
        assert!(telling[0].contains("SMTP_ALLOW_OPEN_RELAY=yes-i-am-sure"));
    }
    let world = World::setup()
        .set("SMTP_ALLOW_NETWORKS", "0.0.0.0/0")
        .set("SMTP_ALLOW_OPEN_RELAY", "yes-i-am-sure")
        .await;
    world.client().session().await.quit().await;
    assert_eq!(lines_about(&world, "SMTP_ALLOW_NETWORKS").len(), 1);
}

#[tokio::test]
async fn nobody_allowed_is_told_in_one_line() {
    let world = World::setup().unset("SMTP_ALLOW_NETWORKS").await;
    let told = lines_about(&world, "SMTP_ALLOW_NETWORKS");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("nobody may connect"), "{told:?}");
}

#[tokio::test]
async fn config_check_prints_what_is_in_force_and_from_where() {
    let world = World::setup()
        .set("SMTP_HOSTNAME", "gp.test")
        .without_relay()
        .await;
    let relay = world.relay();
    let dotenv = "SMTP_BANNER='at your service'\nSMTP_HOSTNAME=other.test\n";
    std::fs::write(relay.directory().join(".env"), dotenv).expect("a file can be written");
    let output = relay.run(["config", "check"]).await;
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{told}");
    for (variable, value) in [
        ("SMTP_HOSTNAME", "gp.test  (environment)"),
        ("SMTP_BANNER", "at your service  (.env)"),
        ("SMTP_MAX_CONNECTIONS", "2000  (default)"),
        ("SMTP_RELAY_HOST", " (not set)"),
    ] {
        let lines = told.lines().map(|line| line.split_once(" = "));
        let mut of_variable = lines.flatten().filter(|(name, _)| name.trim() == variable);
        assert_eq!(of_variable.next().map(|(_, is)| is), Some(value), "{told}");
        assert_eq!(of_variable.next(), None, "{variable} stands there twice");
    }
    assert!(!relay.directory().join("spool").exists(), "it only looks");

    relay.start().await;
    let greeting = world.client().connect().await.read_reply().await;
    assert_eq!(greeting.text(), "gp.test at your service");
}

#[tokio::test]
async fn config_check_prints_all_problems_and_fails() {
    let world = World::setup()
        .set("SMTP_MODE", "on")
        .set("SMTP_RETENTION_DAYS", "7d")
        .set("SMTP_PROT", "25")
        .without_relay()
        .await;
    let output = world.relay().run(["config", "check"]).await;
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{told}");
    for wanted in [
        "problem: SMTP_MODE=on: expected deliver, hold or sink",
        "problem: SMTP_RETENTION_DAYS=7d: expected a number of days from 0 to 3650",
        "warning: SMTP_PROT is unknown and has no effect; the nearest that is known is SMTP_PORT",
    ] {
        assert!(told.lines().any(|line| line == wanted), "{wanted}: {told}");
    }
}

#[tokio::test]
async fn a_second_process_on_the_same_queue_ends_with_one_line() {
    let world = World::new().await;
    let second = world.relay().run([]).await;
    let spool = world.relay().variable("SMTP_QUEUE_PATH");
    one_line(
        &ended(&second),
        &[&spool, "another gopherpost", "SMTP_QUEUE_PATH"],
    );
    world.takes_and_delivers_a_mail().await;
}

#[tokio::test]
async fn a_port_in_use_ends_the_start_with_one_line() {
    let world = World::setup().set("SMTP_LOG", "warn").await;
    let relay = world.relay();
    let other_spool = relay.directory().join("other");
    relay.set("SMTP_QUEUE_PATH", &other_spool.display().to_string());
    let second = relay.run([]).await;
    one_line(
        &ended(&second),
        &[
            &format!("127.0.0.1:{}", relay.variable("SMTP_PORT")),
            "in use",
            "SMTP_PORT",
        ],
    );
}

#[tokio::test]
async fn a_directory_that_can_not_be_written_ends_the_start_with_one_line() {
    // Each is out of reach for root as well, which may write anywhere else.
    for (file, queue) in [
        ("file", "file/spool"),
        ("spool", "spool"),
        ("spool/db", "spool"),
        ("spool/bodies", "spool"),
    ] {
        let world = World::setup().without_relay().await;
        let relay = world.relay();
        let file = relay.directory().join(file);
        let above = file.parent().expect("a directory");
        std::fs::create_dir_all(above).expect("a directory can be made");
        std::fs::write(&file, "in the way").expect("a file can be written");
        let queue = relay.directory().join(queue).display().to_string();
        relay.set("SMTP_QUEUE_PATH", &queue);
        let failure = relay.expect_start_failure().await;
        one_line(&failure, &[&queue, "SMTP_QUEUE_PATH"]);
    }
}

#[tokio::test]
async fn a_queue_of_a_newer_schema_is_left_untouched() {
    let world = World::setup().set("SMTP_MODE", "hold").await;
    let mx = world.remote("dest.test").await;
    let sent = world.client().send(mail().to("ann@dest.test")).await;
    sent.accepted();
    let relay = world.relay();
    relay.terminate().await;
    let spool = relay.directory().join("spool");
    let schema = spool.join("schema");
    let known = std::fs::read(&schema).expect("the schema is told in a file");
    std::fs::write(&schema, "99\n").expect("a file can be written");
    let before = every_file(&spool);
    let failure = relay.expect_start_failure().await;
    one_line(
        &failure,
        &["schema 99", "newer", &spool.display().to_string()],
    );
    same_files(&before, &every_file(&spool));

    std::fs::write(&schema, known).expect("a file can be written");
    relay.set("SMTP_MODE", "deliver");
    relay.start().await;
    mx.message().await.arrived_as(sent.mail.octets());
}

#[tokio::test]
async fn a_newer_schema_is_known_from_the_database_alone() {
    let world = World::new().await;
    let relay = world.relay();
    relay.terminate().await;
    let spool = relay.directory().join("spool");
    {
        let database = sled::Config::new()
            .path(spool.join("db"))
            .segment_size(8 * 1024 * 1024)
            .flush_every_ms(None)
            .open()
            .expect("the database of a relay that is not running");
        let meta = database.open_tree("meta").expect("a tree");
        let newer = 99_u32.to_be_bytes();
        meta.insert("schema", &newer).expect("to be written");
        database.flush().expect("to be written");
    }
    let before = every_file(&spool);
    let failure = relay.expect_start_failure().await;
    one_line(
        &failure,
        &["schema 99", "newer", &spool.display().to_string()],
    );
    // sled writes its index of the log anew as it opens; the log itself, which is all the data, stays.
    let (mut before, mut after) = (before, every_file(&spool));
    for files in [&mut before, &mut after] {
        files.retain(|path, _| !path.display().to_string().contains("/db/snap."));
    }
    same_files(&before, &after);
}

/// Lines of the log that name this.
fn lines_about(world: &World, what: &str) -> Vec<String> {
    let lines = world.log().lines().into_iter().map(|line| line.text);
    lines.filter(|text| text.contains(what)).collect()
}

fn ended(output: &Output) -> StartFailure {
    let (told, complained) = (&output.stdout, &output.stderr);
    StartFailure {
        code: output.status.code(),
        output: String::from_utf8_lossy(&[&told[..], complained].concat()).into_owned(),
    }
}

/// Fails unless the start ended with status 1 and a single line that has all these words.
#[track_caller]
fn one_line(failure: &StartFailure, words: &[&str]) {
    let right = failure.code == Some(1)
        && failure.output.trim_end().lines().count() == 1
        && failure.output.starts_with("gopherpost: ")
        && words.iter().all(|word| failure.output.contains(word));
    assert!(right, "status 1 and one line with {words:?}: {failure:?}");
}

/// Each file and directory below: its content and its permissions.
fn every_file(below: &Path) -> BTreeMap<PathBuf, (Vec<u8>, u32)> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(below).expect("a directory") {
        let path = entry.expect("an entry").path();
        let about = std::fs::metadata(&path).expect("a file");
        let content = if about.is_dir() {
            files.extend(every_file(&path));
            Vec::new()
        } else {
            std::fs::read(&path).expect("a file that can be read")
        };
        files.insert(path, (content, about.mode()));
    }
    files
}

#[track_caller]
fn same_files<T: PartialEq>(before: &BTreeMap<PathBuf, T>, after: &BTreeMap<PathBuf, T>) {
    let mut changed: Vec<&PathBuf> = before.keys().chain(after.keys()).collect();
    changed.retain(|path| before.get(*path) != after.get(*path));
    assert!(changed.is_empty(), "changed: {changed:?}");
}
