//! The hooks of `.githooks` as git calls them, in a repository of their own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// Stands in for `cargo fmt --check`, which a machine may lack: what is ugly is not formatted.
const CARGO: &str = "#!/bin/sh\n[ \"$*\" = 'fmt --check' ] && ! grep -rq ugly src\n";

struct Repository(TempDir);

impl Repository {
    /// With the hooks turned on and one commit on `main`; `None` where no git is.
    fn new() -> Option<Repository> {
        let git = Command::new("git")
            .arg("--version")
            .stdout(Stdio::null())
            .status();
        if git.is_err() {
            println!("git is missing: left out");
            return None;
        }
        let repository = Repository(TempDir::new().unwrap());
        repository.write("bin/cargo", CARGO);
        let cargo = repository.0.path().join("bin/cargo");
        fs::set_permissions(cargo, fs::Permissions::from_mode(0o755)).unwrap();
        let hooks = Path::new(env!("CARGO_MANIFEST_DIR")).join(".githooks");
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository.git(&["config", "core.hooksPath", hooks.to_str().unwrap()]);
        repository.write("CHANGELOG.md", "first\n");
        repository.commits("chore (all): the first").unwrap();
        Some(repository)
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.0.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// What git complains of, or nothing.
    #[expect(clippy::disallowed_methods, reason = "where git is; no configuration")]
    fn tries(&self, arguments: &[&str]) -> Result<(), String> {
        let directory = self.0.path();
        let path = std::env::var("PATH").unwrap();
        let output = Command::new("git")
            .args(["-c", "user.name=Ann", "-c", "user.email=ann@example.org"])
            .args(arguments)
            .current_dir(directory)
            .env(
                "PATH",
                format!("{}:{path}", directory.join("bin").display()),
            )
            .env("HOME", directory)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            // as they are set where this test runs in a hook
            .env_remove("GIT_DIR")
            .env_remove("GIT_INDEX_FILE")
            .env_remove("GIT_WORK_TREE")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        match output.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    fn git(&self, arguments: &[&str]) {
        self.tries(arguments).unwrap();
    }

    /// Commits whatever there is.
    fn commits(&self, subject: &str) -> Result<(), String> {
        self.git(&["add", "--all"]);
        self.tries(&["commit", "--quiet", "--allow-empty", "--message", subject])
    }
}

#[test]
fn a_subject_says_what_kind_of_change_it_is_and_where() {
    let Some(repository) = Repository::new() else {
        return;
    };
    for subject in [
        "fix (store): a full disk is told at once",
        "feat (store, cli): more than one room",
        "perf (queue): 12,000 instead of 9,000 a second",
        "Merge branch 'feat/queue/undo-window'",
        "Revert \"fix (store): a full disk is told at once\"",
    ] {
        repository.commits(subject).expect(subject);
    }
    for subject in [
        "a full disk is told at once",
        "fix: a full disk is told at once",
        "fix(store): a full disk is told at once",
        "design (store): no such type",
        "Fix (store): a full disk is told at once",
        "fix (): a full disk is told at once",
        "fix (store): ",
        "fix (store): a full disk is told at once.",
    ] {
        let complaint = repository.commits(subject).expect_err(subject);
        assert!(complaint.contains("commit-msg: "), "{complaint}");
        assert!(complaint.contains("type (section): message"), "{complaint}");
    }
}

#[test]
fn a_branch_is_named_by_type_section_and_feature() {
    let Some(repository) = Repository::new() else {
        return;
    };
    for branch in ["feat/queue/undo-window", "doc/all/links2", "main"] {
        repository.git(&["checkout", "--quiet", "-B", branch]);
        repository.commits("test (hooks): goes").expect(branch);
    }
    for branch in [
        "queue",
        "feat/undo-window",
        "feat/queue/Undo_Window",
        "feat/queue/undo-",
        "new/queue/undo-window",
        "feat/queue/undo/window",
    ] {
        repository.git(&["checkout", "--quiet", "-B", branch]);
        let complaint = repository
            .commits("test (hooks): doesn't go")
            .expect_err(branch);
        assert!(
            complaint.contains("type/section/kebab-feature"),
            "{complaint}"
        );
        repository.git(&["checkout", "--quiet", "main"]);
        repository.git(&["branch", "--quiet", "-D", branch]);
    }
    repository.git(&["checkout", "--quiet", "--detach"]);
    repository.commits("test (hooks): no branch").unwrap();
}

#[test]
fn what_changes_the_program_is_formatted_and_told() {
    let Some(repository) = Repository::new() else {
        return;
    };
    repository.write("src/lib.rs", "pretty\n");
    let complaint = repository
        .commits("feat (store): not told")
        .expect_err("no CHANGELOG");
    assert!(complaint.contains("without CHANGELOG.md"), "{complaint}");
    repository.write("CHANGELOG.md", "second\n");
    repository.commits("feat (store): told").unwrap();

    repository.write("src/lib.rs", "ugly\n");
    repository.write("CHANGELOG.md", "third\n");
    let complaint = repository
        .commits("feat (store): not formatted")
        .expect_err("ugly");
    assert!(complaint.contains("cargo fmt"), "{complaint}");
    repository.write("src/lib.rs", "pretty again\n");
    repository.commits("feat (store): formatted").unwrap();

    for installed in ["packaging/gopherpost.env", "install.sh"] {
        repository.write(installed, "new\n");
        let complaint = repository
            .commits("fix (install): not told")
            .expect_err(installed);
        assert!(complaint.contains("without CHANGELOG.md"), "{complaint}");
        fs::remove_file(repository.0.path().join(installed)).unwrap();
    }

    repository.write("docs/index.md", "text\n");
    repository.commits("doc (docs): needs neither").unwrap();
}
