//! The process collector's own series, as every client library of Prometheus names them, from
//! `/proc/self`. What the system does not tell is left out.

use std::fmt::{Display, Write as _};
use std::fs;

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use crate::mail::UnixMillis;

/// Appends them in the text format. Reads a few small files of the kernel.
pub(super) fn write(started: UnixMillis, into: &mut String) {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    let cpu = format!("{}.{:09}", cpu.tv_sec, cpu.tv_nsec);
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let open = fs::read_dir("/proc/self/fd").map(Iterator::count).ok();
    let most = getrlimit(Resource::Nofile).current;
    let started = format!("{}.{:03}", started.0 / 1_000, started.0 % 1_000);
    let mut series = |name, kind, help, value: Option<&dyn Display>| {
        if let Some(value) = value {
            // A String takes everything.
            let _ = write!(
                into,
                "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"
            );
        }
    };
    series(
        "process_cpu_seconds_total",
        "counter",
        "Seconds of processor time used, of user and system. A rise by one a second is one processor busy.",
        Some(&cpu),
    );
    series(
        "process_resident_memory_bytes",
        "gauge",
        "Octets of memory in use. Growth that does not end is a leak.",
        kibibytes(&status, "VmRSS:").as_ref().map(as_dyn),
    );
    series(
        "process_virtual_memory_bytes",
        "gauge",
        "Octets of address space in use. It says little; see the resident memory.",
        kibibytes(&status, "VmSize:").as_ref().map(as_dyn),
    );
    series(
        "process_open_fds",
        "gauge",
        "File descriptors that are open. Near process_max_fds connections fail.",
        open.as_ref().map(|open| -> &dyn Display { open }),
    );
    series(
        "process_max_fds",
        "gauge",
        "File descriptors that may be open. A change is another limit of the system.",
        most.as_ref().map(as_dyn),
    );
    series(
        "process_threads",
        "gauge",
        "Threads of the process. A rise means more work that waits for the disk.",
        field(&status, "Threads:").as_ref().map(as_dyn),
    );
    series(
        "process_start_time_seconds",
        "gauge",
        "When the process started, in seconds since 1970. A rise is a restart.",
        Some(&started),
    );
}

fn as_dyn(value: &u64) -> &dyn Display {
    value
}

fn kibibytes(status: &str, name: &str) -> Option<u64> {
    field(status, name)?.checked_mul(1_024)
}

/// The number of a line `Name: 123 kB`.
fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells_all_of_them() {
        let mut text = String::new();
        write(UnixMillis(1_700_000_000_007), &mut text);
        for name in [
            "process_cpu_seconds_total ",
            "process_resident_memory_bytes ",
            "process_virtual_memory_bytes ",
            "process_open_fds ",
            "process_max_fds ",
            "process_threads ",
            "process_start_time_seconds 1700000000.007",
        ] {
            assert!(text.contains(&format!("\n{name}")), "{name} of {text}");
        }
    }
}
