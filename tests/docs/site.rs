//! What stands around each page: head, menu, contents, the way to its neighbours.

use super::page::Page;

/// Every page in the order of the menu: file and what the menu calls it, under its heading there.
pub(super) const MENU: [(&str, &[(&str, &str)]); 5] = [
    (
        "Start",
        &[
            ("index", "What it is"),
            ("quick-start", "Quick start"),
            ("install", "Installing"),
            ("configuration", "Configuration"),
            ("migration", "Coming from Postfix"),
            ("comparison", "Comparison"),
        ],
    ),
    (
        "Operation",
        &[
            ("operations", "Operations"),
            ("commands", "Commands"),
            ("explain", "Where is that mail?"),
            ("monitoring", "Monitoring"),
            ("logs", "Logs"),
            ("reload", "Reload"),
            ("api", "Admin API"),
        ],
    ),
    (
        "Mail",
        &[
            ("access", "Who may send"),
            ("authentication", "Authentication"),
            ("routing", "Routing"),
            ("tls", "TLS"),
            ("dkim", "DKIM"),
            ("deliverability", "Deliverability"),
        ],
    ),
    (
        "Promises",
        &[
            ("durability", "Crash safety"),
            ("security", "Security"),
            ("performance", "Performance"),
        ],
    ),
    (
        "Inside",
        &[
            ("architecture", "Architecture"),
            ("wire-deviations", "Wire deviations"),
        ],
    ),
];

/// Pages with fewer sections are seen at a glance.
const SECTIONS_FOR_CONTENTS: usize = 3;

/// Longest description that search engines show, in characters.
const DESCRIPTION_CHARACTERS: usize = 155;

pub(super) fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
    MENU.iter().flat_map(|(_, pages)| pages.iter().copied())
}

/// What the menu calls the page that a link leads to.
pub(super) fn label(link: &str) -> Option<&'static str> {
    let (page, _) = link.split_once(".md")?;
    names()
        .find(|(name, _)| *name == page)
        .map(|(_, label)| label)
}

pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn menu(current: &str) -> String {
    let mut menu = String::new();
    for (heading, pages) in MENU {
        menu.push_str(&format!("<h2>{heading}</h2>\n<ul>\n"));
        for (name, label) in pages {
            let here = match *name == current {
                true => " aria-current=\"page\"",
                false => "",
            };
            menu.push_str(&format!(
                "<li><a href=\"{name}.html\"{here}>{label}</a></li>\n"
            ));
        }
        menu.push_str("</ul>\n");
    }
    menu
}

/// Twice, since without scripts what folds on a phone can't stand open beside the text on a desktop; the
/// style sheet shows one of them.
fn contents(page: &Page) -> String {
    if page.sections.len() < SECTIONS_FOR_CONTENTS {
        return String::new();
    }
    let list: String = page
        .sections
        .iter()
        .map(|(id, words)| format!("<li><a href=\"#{id}\">{}</a></li>\n", escaped(words)))
        .collect();
    format!(
        "<details class=\"folded\">\n<summary>On this page</summary>\n<ul>\n{list}</ul>\n</details>\n\
         <nav class=\"beside\" aria-label=\"On this page\">\n<h2>On this page</h2>\n<ul>\n{list}</ul>\n</nav>\n"
    )
}

fn neighbours(current: &str) -> String {
    let all: Vec<_> = names().collect();
    let at = all
        .iter()
        .position(|(name, _)| *name == current)
        .expect("every page is in the menu");
    let link = |place: Option<&(&str, &str)>, rel: &str, words: &str| match place {
        Some((name, label)) => {
            format!("<a href=\"{name}.html\" rel=\"{rel}\">{words}: {label}</a>\n")
        }
        None => String::new(),
    };
    let before = at.checked_sub(1).and_then(|at| all.get(at));
    format!(
        "<nav class=\"neighbours\" aria-label=\"Before and after\">\n{}{}</nav>\n",
        link(before, "prev", "Before"),
        link(all.get(at + 1), "next", "Next"),
    )
}

fn description(page: &Page) -> String {
    let text = page.summary.replace('\n', " ");
    if text.chars().count() <= DESCRIPTION_CHARACTERS {
        return text;
    }
    let short: String = text.chars().take(DESCRIPTION_CHARACTERS - 3).collect();
    let whole_words = short.rsplit_once(' ').map_or(&*short, |(words, _)| words);
    format!("{whole_words}...")
}

pub(super) fn html_of(page: &Page) -> String {
    let title = match &*page.name {
        "index" => "GopherPost: the mail relay whose 250 holds".to_owned(),
        _ => format!("{} - GopherPost", page.title),
    };
    // the contents stand below the heading and the words that follow it
    let end = "</h1>\n";
    let heading_end = match &*page.name {
        "index" => 0,
        _ => page.body.find(end).expect("a heading") + end.len(),
    };
    let (heading, text) = page.body.split_at(heading_end);
    format!(
        r##"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<meta name="description" content="{description}">
<meta name="color-scheme" content="light dark">
<link rel="icon" type="image/svg+xml" href="assets/favicon.svg">
<link rel="stylesheet" href="assets/style.css">
</head>
<body class="{class}">
<a class="skip" href="#content">To the content</a>
<header class="top">
<a class="home" href="index.html"><img src="assets/logo.svg" alt="" width="36" height="36">GopherPost</a>
<a class="to-pages" href="#pages">All pages</a>
</header>
<div class="frame">
<main id="content">
{heading}{contents}{text}{neighbours}</main>
<nav class="pages" id="pages" aria-label="Pages">
{menu}</nav>
</div>
<footer>GopherPost, MIT or Apache-2.0 at your option. <a href="{repository}">Source</a></footer>
</body>
</html>
"##,
        title = escaped(&title),
        description = escaped(&description(page)),
        class = match &*page.name {
            "index" => "landing",
            _ => "page",
        },
        contents = contents(page),
        neighbours = neighbours(&page.name),
        menu = menu(&page.name),
        repository = env!("CARGO_PKG_REPOSITORY"),
    )
}
