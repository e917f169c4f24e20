//! The documentation as a site: every page of `docs/*.md` has its HTML beside it, made here, so that the
//! directory can be served as it is. With UPDATE_EXPECT=1 the HTML is written anew.
//!
//! And its truth, as far as a test can see it: links resolve, and variables, metrics and commands that the
//! texts name are there.

mod page;
mod site;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use expect_test::expect_file;
use pulldown_cmark::{Event, Options, Parser, Tag};

use page::Page;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn docs() -> PathBuf {
    root().join("docs")
}

fn pages() -> BTreeMap<&'static str, Page> {
    site::names()
        .map(|(name, _)| (name, page::read(name)))
        .collect()
}

/// What people read besides the pages, as far as it is there.
const OTHER_TEXTS: [&str; 5] = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "fuzz/README.md",
    "packaging/README.md",
];

/// Every text, by its path in the repository. A changelog speaks of what was, so it is left out.
fn texts() -> Vec<(String, String)> {
    let pages = site::names().map(|(name, _)| format!("docs/{name}.md"));
    pages
        .chain(OTHER_TEXTS.map(str::to_owned))
        .chain([
            "packaging/prometheus/alerts.yml".to_owned(),
            ".env.example".to_owned(),
        ])
        .filter(|path| path != "CHANGELOG.md" && root().join(path).exists())
        .map(|path| {
            let text = fs::read_to_string(root().join(&path)).unwrap();
            (path, text)
        })
        .collect()
}

#[test]
fn every_page_stands_beside_its_source() {
    for page in pages().values() {
        let file = docs().join(format!("{}.html", page.name));
        expect_file![file].assert_eq(&site::html_of(page));
    }
}

#[test]
fn every_page_is_in_the_menu() {
    let in_menu: BTreeSet<&str> = site::names().map(|(name, _)| name).collect();
    for entry in fs::read_dir(docs()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        for ending in [".md", ".html"] {
            if let Some(page) = name.strip_suffix(ending) {
                assert!(in_menu.contains(page), "docs/{name}");
            }
        }
    }
}

fn links_in(markdown: &str) -> Vec<String> {
    Parser::new_ext(markdown, Options::ENABLE_TABLES)
        .filter_map(|event| match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                Some(dest_url.to_string())
            }
            _ => None,
        })
        .collect()
}

/// Values of an attribute in HTML that we made.
fn values<'a>(html: &'a str, attribute: &str) -> Vec<&'a str> {
    html.split(&format!(" {attribute}=\""))
        .skip(1)
        .filter_map(|rest| rest.split_once('"').map(|(value, _)| value))
        .collect()
}

#[test]
fn links_in_texts_resolve() {
    let pages = pages();
    let mut broken = Vec::new();
    let mut check = |from: &Path, link: &str| {
        if link.contains("://") || link.starts_with("mailto:") {
            return;
        }
        let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
        let target = match file {
            "" => from.to_owned(),
            file => from.parent().unwrap().join(file),
        };
        let page = target
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_suffix(".md"))
            .and_then(|name| pages.get(name));
        let resolves = target.exists()
            && (fragment.is_empty() || page.is_none_or(|page| page.anchors.contains(fragment)));
        if !resolves {
            broken.push(format!("{}: {link}", from.display()));
        }
    };
    for page in pages.values() {
        for link in &page.links {
            check(&docs().join(format!("{}.md", page.name)), link);
        }
    }
    for path in OTHER_TEXTS.map(|name| root().join(name)) {
        if !path.exists() {
            continue;
        }
        for link in links_in(&fs::read_to_string(&path).unwrap()) {
            check(&path, &link);
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Of the pages as they are served: raw HTML, menus, pictures, and nothing from elsewhere.
#[test]
fn what_the_site_needs_is_on_the_site() {
    let pages: BTreeMap<String, String> = pages()
        .values()
        .map(|page| (format!("{}.html", page.name), site::html_of(page)))
        .collect();
    let mut broken = Vec::new();
    for (name, html) in &pages {
        for link in values(html, "href") {
            if link.contains("://") {
                continue;
            }
            let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { name } else { file };
            let has_fragment = pages
                .get(target)
                .is_none_or(|html| fragment.is_empty() || values(html, "id").contains(&fragment));
            let is_there = pages.contains_key(target) || docs().join(target).exists();
            if !is_there || target.contains("..") || !has_fragment {
                broken.push(format!("{name}: {link}"));
            }
        }
        for source in values(html, "src") {
            if source.contains(':') || !docs().join(source).exists() {
                broken.push(format!("{name}: {source}"));
            }
        }
        for tag in ["<script", "<iframe", "<object", "style=\""] {
            if html.contains(tag) {
                broken.push(format!("{name}: {tag}"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Words of a text that begin with `prefix` and go on in characters that `fits`.
fn named<'a>(text: &'a str, prefix: &str, fits: impl Fn(char) -> bool) -> Vec<&'a str> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices(prefix) {
        let before = text[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '/' | '.' | '-')) {
            continue;
        }
        let word = &text[at..];
        let end = word[prefix.len()..]
            .find(|c| !fits(c))
            .map_or(word.len(), |length| prefix.len() + length);
        found.push(&word[..end]);
    }
    found
}

#[test]
fn variables_that_texts_name_are_there() {
    let reference = fs::read_to_string(docs().join("configuration.md")).unwrap();
    let known: BTreeSet<&str> = reference
        .lines()
        .filter_map(|line| line.strip_prefix("| `SMTP_")?.split_once('`'))
        .map(|(name, _)| name)
        .collect();
    assert!(known.len() > 50);
    let mut wrong = Vec::new();
    for (path, text) in texts() {
        for name in named(&text, "SMTP_", |c| c.is_ascii_uppercase() || c == '_') {
            let name = &name["SMTP_".len()..];
            let is_known = name.is_empty()
                || known.contains(name)
                || name
                    .strip_suffix("_FILE")
                    .is_some_and(|name| known.contains(name));
            if !is_known {
                wrong.push(format!("{path}: SMTP_{name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn metrics_that_texts_name_are_there() {
    let reference = fs::read_to_string(docs().join("monitoring.md")).unwrap();
    let known: BTreeSet<&str> = reference
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .map(|(name, _)| name)
        .collect();
    let mut wrong = Vec::new();
    for (path, text) in texts() {
        for name in named(&text, "gopherpost_", |c| c.is_ascii_lowercase() || c == '_') {
            let series = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|part| name.strip_suffix(part))
                .unwrap_or(name);
            if !known.contains(name) && !known.contains(series) {
                wrong.push(format!("{path}: {name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What of a text is code: lines of blocks, and what stands between backquotes.
fn code_in(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut in_block = false;
    for line in text.lines() {
        in_block ^= line.trim_start().starts_with("```");
        match in_block {
            true => found.push(line),
            false => found.extend(line.split('`').skip(1).step_by(2)),
        }
    }
    found
}

/// What stands behind each `gopherpost` that is a program to run, and no user or unit of that name.
fn commands_in(code: &str) -> Vec<&str> {
    let begins_a_command = |at: usize| {
        let (before, directory) = match code[..at].rsplit_once(' ') {
            Some((before, directory)) => (before.trim_end(), directory),
            None => ("", &code[..at]),
        };
        let last = before.rsplit(' ').next().unwrap_or_default();
        let follows = matches!(last, "" | "$" | "|" | "&&" | "||" | ";" | "sudo" | "(");
        (follows || last.contains('='))
            && (directory.is_empty() || directory.ends_with('/') || directory == "(")
    };
    let program = "gopherpost ";
    code.match_indices(program)
        .filter(|(at, _)| begins_a_command(*at))
        .map(|(at, _)| &code[at + program.len()..])
        .collect()
}

#[test]
fn commands_that_texts_name_are_there() {
    let reference = fs::read_to_string(docs().join("commands.md")).unwrap();
    let known: BTreeSet<&str> = reference
        .lines()
        .filter_map(|line| line.strip_prefix("## gopherpost "))
        .collect();
    let groups: BTreeSet<&str> = known
        .iter()
        .filter_map(|command| command.split_once(' '))
        .map(|(group, _)| group)
        .collect();
    assert!(groups.len() > 3);
    let is_word = |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase());
    let mut wrong = Vec::new();
    for (path, text) in texts() {
        for typed in code_in(&text).into_iter().flat_map(commands_in) {
            let mut words = typed.split(' ');
            let Some(command) = words.next().filter(is_word) else {
                continue;
            };
            let whole = match words.next().filter(is_word) {
                Some(sub) if groups.contains(command) => format!("{command} {sub}"),
                _ => command.to_owned(),
            };
            if !known.contains(&*whole) {
                wrong.push(format!("{path}: gopherpost {whole}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn operations_tell_of_every_alert() {
    let alerts = fs::read_to_string(root().join("packaging/prometheus/alerts.yml")).unwrap();
    let operations = fs::read_to_string(docs().join("operations.md")).unwrap();
    let untold: Vec<&str> = alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .filter(|name| !operations.contains(&format!("`{name}`")))
        .collect();
    assert!(untold.is_empty(), "{untold:?}");
}

/// Numbers as large figures are written: `7,605`.
fn figures(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_digit() && c != ',')
        .map(|word| word.trim_matches(','))
        .filter(|word| word.contains(','))
}

#[test]
fn figures_are_those_of_the_performance_page() {
    let read = |name: &str| fs::read_to_string(docs().join(name)).unwrap();
    let performance = read("performance.md");
    let measured: BTreeSet<&str> = performance
        .split(['|', ' '])
        .map(|word| word.trim_matches([',', '.', ';', ':', '(', ')']))
        .collect();
    let [index, comparison] = ["index.md", "comparison.md"].map(read);
    let unknown: Vec<&str> = figures(&index)
        .chain(figures(&comparison))
        .filter(|figure| !measured.contains(figure))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");

    // the bars of the landing page, in percent of the longest
    let bars: Vec<(f64, f64)> = index
        .split("<rect class=\"")
        .skip(1)
        .map(|bar| {
            let width = values(bar, "width")[0].parse().unwrap();
            let told = bar.split_once("\"value\">").unwrap().1;
            let told = told.split_once('<').unwrap().0;
            assert!(measured.contains(told), "{told}");
            (width, told.replace(',', "").parse().unwrap())
        })
        .collect();
    let longest = bars.iter().map(|(_, told)| *told).fold(0.0, f64::max);
    assert_eq!(bars.len(), 6);
    for (width, told) in bars {
        assert!((width - 100.0 * told / longest).abs() < 0.06, "{told}");
    }
}
