//! The pages are short, and what they link to and name is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::openapi::{root, sources};

const README_BYTES_MAX: u64 = 10_240;
/// Pages at the top of the repository; those of `docs` are found.
const TOP: [&str; 5] = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"];
/// Below them, every path in backticks is one of the repository.
const FOLDERS: [&str; 8] =
    [".cargo/", ".ci/", "docs/", "events/", "functions/", "infra/", "shared/", "tests/"];
/// Names that end so are files of the repository, and named from its root.
const SUFFIXES: [&str; 5] = [".rs", ".py", ".toml", ".yaml", ".md"];
/// Words that `CONTRIBUTING.md` has other words for.
const REPLACED: [&str; 18] = [
    "told", "tells", "nobody", "whoever", "letter", "letters", "twin", "twins", "rival", "rivals", "weather",
    "storm", "film", "films", "stills", "hint", "hints", "lever",
];

struct Page {
    /// From the root of the repository.
    name: String,
    text: String,
}

fn pages() -> Vec<Page> {
    let mut names: Vec<String> = TOP.map(str::to_owned).into();
    for entry in fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.extension().is_some_and(|extension| extension == "md") {
            names.push(format!("docs/{}", entry.file_name().unwrap().to_str().unwrap()));
        }
    }
    assert!(names.len() > 10, "{names:?}");
    let read = |name: &String| fs::read_to_string(root().join(name)).unwrap();
    names.iter().map(|name| Page { name: name.clone(), text: read(name) }).collect()
}

impl Page {
    /// The lines outside of fenced blocks.
    fn prose(&self) -> impl Iterator<Item = &str> {
        let mut fenced = false;
        self.text.lines().filter(move |line| {
            let is_fence = line.trim_start().starts_with("```");
            fenced ^= is_fence;
            !fenced && !is_fence
        })
    }

    /// What stands in backticks, outside of fenced blocks.
    fn code(&self) -> impl Iterator<Item = &str> {
        self.prose().flat_map(|line| line.split('`').skip(1).step_by(2))
    }

    /// Where the links of the prose lead.
    fn links(&self) -> impl Iterator<Item = &str> {
        let targets = self.prose().flat_map(|line| line.split("](").skip(1));
        targets.map(|rest| rest.split(')').next().unwrap())
    }

    /// The headings, as links name them: lower-case words with hyphens between.
    fn anchors(&self) -> BTreeSet<String> {
        let headings = self.prose().filter(|line| line.starts_with('#'));
        let kept = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        let anchor = |heading: &str| {
            let text: String = heading.trim_start_matches('#').trim().chars().filter(|c| kept(*c)).collect();
            text.to_lowercase().replace(' ', "-")
        };
        headings.map(anchor).collect()
    }
}

/// A path in backticks that is one of the repository, up to the first part with a placeholder.
fn repository_path(code: &str) -> Option<&Path> {
    let is_word = !code.is_empty() && !code.contains(char::is_whitespace) && !code.contains("::");
    let is_below = FOLDERS.iter().any(|folder| code.starts_with(folder));
    let is_file = SUFFIXES.iter().any(|suffix| code.ends_with(suffix)) && !code.starts_with("../");
    if !is_word || !(is_below || is_file) {
        return None;
    }
    let known = code.split(['<', '*', '{']).next().unwrap();
    let whole = known.len() == code.len();
    Some(Path::new(if whole { known } else { known.rsplit_once('/').map_or("", |(folder, _)| folder) }))
}

#[test]
fn the_readme_is_short() {
    let length = fs::metadata(root().join("README.md")).unwrap().len();
    assert!(length <= README_BYTES_MAX, "README.md has {length} bytes");
}

#[test]
fn every_link_leads_to_a_page_and_a_heading() {
    let pages = pages();
    let mut links = 0;
    for page in &pages {
        let folder = Path::new(&page.name).parent().unwrap();
        for link in page.links().filter(|link| !link.starts_with("https://")) {
            links += 1;
            let (path, anchor) =
                link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
            let target = if path.is_empty() { PathBuf::from(&page.name) } else { folder.join(path) };
            let target = fs::canonicalize(root().join(&target))
                .unwrap_or_else(|error| panic!("{} links to {link}: {error}", page.name));
            let target =
                target.strip_prefix(fs::canonicalize(root()).unwrap()).unwrap().to_str().unwrap().to_owned();
            if let Some(anchor) = anchor {
                let page = pages.iter().find(|page| page.name == target).expect(&target);
                assert!(page.anchors().contains(anchor), "{link} of a page: {:?}", page.anchors());
            }
        }
    }
    assert!(links > 30, "{links}");
}

#[test]
fn every_page_is_reached_from_the_readme() {
    let pages = pages();
    let readme = pages.iter().find(|page| page.name == "README.md").unwrap();
    let linked: BTreeSet<&str> = readme.links().map(|link| link.split('#').next().unwrap()).collect();
    for page in pages.iter().filter(|page| page.name != "README.md") {
        assert!(linked.contains(page.name.as_str()), "README.md does not link to {}", page.name);
    }
}

#[test]
fn every_path_that_a_page_names_exists() {
    let (mut paths, mut missing) = (0, Vec::new());
    for page in pages() {
        for path in page.code().filter_map(repository_path) {
            paths += 1;
            if !root().join(path).exists() {
                missing.push(format!("{}: {}", page.name, path.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(paths > 100, "{paths}");
}

/// Constants, functions and tests that the map of the code names.
#[test]
fn every_name_that_the_architecture_has_is_one_of_the_code() {
    let code: String =
        sources(&["shared", "functions", "tests", "infra"]).into_iter().map(|(_, text)| text).collect();
    let is_name = |name: &&str| {
        let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let is_constant = |c: char| c.is_ascii_uppercase() || c == '_';
        name.contains('_') && (name.chars().all(is_part) || name.chars().all(is_constant))
    };
    let pages = pages();
    let architecture = pages.iter().find(|page| page.name == "ARCHITECTURE.md").unwrap();
    let names: BTreeSet<_> = architecture.code().filter(is_name).collect();
    assert!(names.len() > 40, "{names:?}");
    for name in names {
        assert!(code.contains(name), "ARCHITECTURE.md names {name}");
    }
}

#[test]
fn the_pages_use_the_words_of_the_glossary() {
    for page in pages() {
        for line in page.prose() {
            let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join(" ");
            let prose = prose.replace("ead-letter", ""); // the usual word for that queue
            let words = prose.split(|c: char| !c.is_alphabetic()).map(str::to_lowercase);
            let replaced: Vec<_> = words.filter(|word| REPLACED.contains(&word.as_str())).collect();
            assert!(replaced.is_empty(), "{}: {replaced:?} in {line}", page.name);
        }
    }
}
