//! One page: its Markdown, read once, and its body as HTML.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use pulldown_cmark::{
    CodeBlockKind, CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html,
};

use super::site;

/// Where files of the repository are looked at that are not part of the site.
const REPOSITORY: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/");

/// With so many columns, text beside long names gets narrow.
const COLUMNS_MANY: usize = 5;

pub(super) struct Page {
    pub(super) name: String,
    pub(super) title: String,
    /// The first paragraph, without its marks: what a search engine shows.
    pub(super) summary: String,
    pub(super) body: String,
    /// Headings of the second level: anchor and words.
    pub(super) sections: Vec<(String, String)>,
    pub(super) anchors: BTreeSet<String>,
    pub(super) links: Vec<String>,
}

/// As GitHub makes them, so that a link works in both places.
fn anchor(heading: &str) -> String {
    let kept: String = heading
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .collect();
    kept.replace(' ', "-")
}

/// Where a link of a page leads on the site: other pages are HTML there, and files of the repository are
/// not there at all.
fn on_the_site(target: &str) -> String {
    if let Some(file) = target.strip_prefix("../") {
        return format!("{REPOSITORY}{file}");
    }
    match target.split_once(".md") {
        Some((page, rest)) if !target.contains("://") => format!("{page}.html{rest}"),
        _ => target.to_owned(),
    }
}

/// What a reader sees of a piece of Markdown, as plain text.
fn words(events: &[Event<'_>]) -> String {
    events
        .iter()
        .map(|event| match event {
            Event::Text(text) | Event::Code(text) => text.to_string(),
            Event::SoftBreak | Event::HardBreak => " ".to_owned(),
            _ => String::new(),
        })
        .collect()
}

/// Up to the event that ends what begins at `at`.
fn until<'a, 'b>(
    events: &'a [Event<'b>],
    at: usize,
    end: impl Fn(&TagEnd) -> bool,
) -> &'a [Event<'b>] {
    let length = events[at..]
        .iter()
        .position(|event| matches!(event, Event::End(tag) if end(tag)))
        .expect("what begins ends");
    &events[at..at + length]
}

/// Comments are for those who edit a page, and for the script that runs its commands.
fn without_comments(html: &str) -> String {
    let mut kept = String::with_capacity(html.len());
    let mut rest = html;
    while let Some((before, behind)) = rest.split_once("<!--") {
        kept.push_str(before);
        rest = behind
            .split_once("-->")
            .expect("a comment ends")
            .1
            .trim_start_matches('\n');
    }
    kept + rest
}

/// Links in raw HTML lead to the source of a page, as those in Markdown do.
fn raw_links(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    for (number, part) in html.split(" href=\"").enumerate() {
        match part.split_once('"') {
            Some((target, rest)) if number > 0 => {
                out.push_str(&format!(" href=\"{}\"{rest}", on_the_site(target)));
            }
            _ => out.push_str(part),
        }
    }
    out
}

/// Text of the first such element in raw HTML.
fn raw(html: &str, tag: &str) -> String {
    html.split_once(&format!("<{tag}>"))
        .and_then(|(_, rest)| rest.split_once(&format!("</{tag}>")))
        .map(|(text, _)| text.to_owned())
        .unwrap_or_default()
}

/// A block of code, which scrolls by itself and so can be reached by keyboard. What is typed in a dialogue
/// with a shell stands out from what is answered.
fn code_block(kind: &CodeBlockKind<'_>, code: &str) -> String {
    let language = match kind {
        CodeBlockKind::Fenced(language) => &**language,
        CodeBlockKind::Indented => "",
    };
    let mut out = String::from("<pre tabindex=\"0\"><code>");
    let mut goes_on = false;
    for line in code.lines() {
        let escaped = site::escaped(line);
        match line.strip_prefix("$ ") {
            _ if goes_on => out.push_str(&format!("<b>{escaped}</b>\n")),
            Some(_) if language == "console" => {
                out.push_str(&format!("<i>$</i> <b>{}</b>\n", &escaped[2..]));
            }
            _ => out.push_str(&format!("{escaped}\n")),
        }
        goes_on = language == "console" && line.ends_with('\\');
    }
    out + "</code></pre>\n"
}

/// A name in a table, which may be parted behind its underscores, before its capitals, and before the slashes
/// of a path: on a phone nothing else would stand beside it.
fn breakable(name: &str) -> String {
    let mut out = String::from("<code>");
    let mut before = ' ';
    let behind = name.chars().skip(1).chain([' ']);
    for (c, next) in name.chars().zip(behind) {
        let is_in_path = c == '/' && before.is_alphanumeric() && next.is_alphabetic();
        if before == '_' || (before.is_lowercase() && c.is_uppercase()) || is_in_path {
            out.push_str("<wbr>");
        }
        out.push_str(&site::escaped(&c.to_string()));
        before = c;
    }
    out + "</code>"
}

/// Whether a cell has whole sentences.
fn is_long(event: &Event<'_>) -> bool {
    matches!(event, Event::Text(text) if text.len() > 60)
}

pub(super) fn read(name: &str) -> Page {
    let path: PathBuf = super::docs().join(format!("{name}.md"));
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut events: Vec<Event<'_>> = Parser::new_ext(&text, Options::ENABLE_TABLES).collect();
    let mut page = Page {
        name: name.to_owned(),
        title: String::new(),
        summary: String::new(),
        body: String::new(),
        sections: Vec::new(),
        anchors: BTreeSet::new(),
        links: Vec::new(),
    };
    let mut out = Vec::with_capacity(events.len());
    let mut in_table = false;
    let mut at = 0;
    while at < events.len() {
        match events[at].clone() {
            Event::Start(Tag::Heading { level, .. }) => {
                let words = words(until(&events, at, |end| matches!(end, TagEnd::Heading(_))));
                let id = page.anchor_of(&words);
                match level {
                    HeadingLevel::H1 => page.title = words,
                    HeadingLevel::H2 => page.sections.push((id.clone(), words)),
                    _ => {}
                }
                out.push(Event::Start(Tag::Heading {
                    level,
                    id: Some(CowStr::from(id)),
                    classes: Vec::new(),
                    attrs: Vec::new(),
                }));
            }
            Event::Start(Tag::Paragraph) if page.summary.is_empty() => {
                page.summary = words(until(&events, at, |end| *end == TagEnd::Paragraph));
                out.push(events[at].clone());
            }
            Event::Start(Tag::Link {
                link_type,
                dest_url,
                title,
                id,
            }) => {
                page.links.push(dest_url.to_string());
                // a page that is called by its file's name has a name of its own on the site
                if let (Event::Text(text), Some(label)) = (&events[at + 1], site::label(&dest_url))
                    && text.ends_with(".md")
                {
                    events[at + 1] = Event::Text(CowStr::from(label));
                }
                out.push(Event::Start(Tag::Link {
                    link_type,
                    dest_url: CowStr::from(on_the_site(&dest_url)),
                    title,
                    id,
                }));
            }
            Event::Start(Tag::CodeBlock(kind)) => {
                let inside = until(&events, at, |end| *end == TagEnd::CodeBlock);
                let block = code_block(&kind, &words(inside));
                out.push(Event::Html(CowStr::from(block)));
                at += inside.len();
            }
            // a wide table scrolls by itself, not with the page
            Event::Start(Tag::Table(columns)) => {
                in_table = true;
                let inside = until(&events, at, |end| *end == TagEnd::Table);
                let many = match columns.len() >= COLUMNS_MANY && inside.iter().any(is_long) {
                    true => " many",
                    false => "",
                };
                let open = format!("<div class=\"wide{many}\" tabindex=\"0\">\n");
                out.push(Event::Html(CowStr::from(open)));
                out.push(Event::Start(Tag::Table(columns)));
            }
            Event::Code(name) if in_table => {
                out.push(Event::Html(CowStr::from(breakable(&name))));
            }
            Event::End(TagEnd::Table) => {
                in_table = false;
                out.push(Event::End(TagEnd::Table));
                out.push(Event::Html(CowStr::from("</div>\n")));
            }
            other => out.push(other),
        }
        at += 1;
    }
    html::push_html(&mut page.body, out.into_iter());
    page.body = raw_links(&without_comments(&page.body));
    if page.title.is_empty() {
        page.title = raw(&page.body, "h1");
        page.summary = raw(&page.body, "p");
    }
    assert!(!page.title.is_empty(), "{name}.md has no heading");
    page
}

impl Page {
    fn anchor_of(&mut self, words: &str) -> String {
        let mut id = anchor(words);
        let mut number = 0;
        while !self.anchors.insert(id.clone()) {
            number += 1;
            id = format!("{}-{number}", anchor(words));
        }
        id
    }
}
