//! A command of the binary that has ended.

use std::process::Output;

use serde_json::Value;

/// Its exit status, and what it said.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Exit status; none if a signal ended it.
    pub status: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub complaint: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        Ran {
            status: output.status.code(),
            out: String::from_utf8(output.stdout).expect("commands print text"),
            complaint: String::from_utf8(output.stderr).expect("commands print text"),
        }
    }
}

impl Ran {
    /// Itself, if it ended so.
    #[track_caller]
    pub fn ends_with(self, status: i32) -> Ran {
        assert_eq!(self.status, Some(status), "{self:?}");
        self
    }

    /// Every line of standard output, read as JSON; it must have ended well.
    #[track_caller]
    pub fn json_lines(&self) -> Vec<Value> {
        assert_eq!(self.status, Some(0), "{self:?}");
        let lines = self.out.lines();
        lines
            .map(|line| {
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))
            })
            .collect()
    }

    /// The only line of standard output, read as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        let mut lines = self.json_lines();
        assert_eq!(lines.len(), 1, "{self:?}");
        lines.remove(0)
    }

    /// Fails unless these stand in standard output, in that order.
    #[track_caller]
    pub fn shows<'a>(&self, parts: impl IntoIterator<Item = &'a str>) -> &Ran {
        let mut rest = &*self.out;
        for part in parts {
            let Some(at) = rest.find(part) else {
                panic!("{part:?} is missing, or not in order:\n{}", self.out);
            };
            rest = &rest[at + part.len()..];
        }
        self
    }

    /// Fails unless the last line of standard error says this.
    #[track_caller]
    pub fn complains(&self, of: &str) -> &Ran {
        let last = self.complaint.lines().last().unwrap_or_default();
        assert!(last.contains(of), "{of:?}: {self:?}");
        self
    }
}
