//! The layout's rules, read off the text: who imports whom, what a manifest may list, how
//! long a file is.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use domain::provider::Provider;

use crate::documents::{files, root, sources};

/// What each room of `shared` may name of the crate, beside itself, and whether it may name
/// `signatures`. That `domain` and `signatures` import nothing of ours, their manifests ensure.
const ROOMS: [(&str, &[&str], bool); 10] = [
    ("store", &[], false),
    ("outside", &[], true),
    ("trace", &["outside"], false),
    ("provider", &["outside", "trace"], true),
    ("channel", &["outside", "trace"], true),
    ("inbound", &["outside"], true),
    ("payment", &["outside"], true),
    ("operate", &["store"], false),
    // Of the store only its error, whom a key belongs to, and what a message says.
    ("edge", &["operate", "store", "trace"], false),
    ("boot", &["channel", "inbound", "payment", "provider", "store", "trace"], true),
];
/// The crates that import nothing of ours.
const LOWEST: [&str; 2] = ["shared/domain", "shared/signatures"];
const EDGE_OF_STORE: [&str; 3] = ["Error", "keystore", "queue"];
/// Words that section "Words" of `CONTRIBUTING.md` replaces, and where they must not occur.
const BANNED: [&str; 16] = [
    "told", "nobody", "whoever", "somebody", "letter", "letters", "twin", "twins", "rival", "rivals",
    "weather", "storm", "keyed", "hint", "hints", "lever",
];
const PLAIN: [&str; 15] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "SECURITY.md",
    "docs",
    "infra/cli",
    "infra/local",
    "infra/sim",
    "infra/openapi.yaml",
    "shared/signatures",
    "shared/src/edge",
    "shared/src/lib.rs",
    "shared/src/operate",
    "shared/src/provider",
];
const LINES_MAX: usize = 400;
/// How the head of a file gives the reason for more lines.
const REASON: &str = "//! In one file, because ";
const MAIN_LINES_MAX: usize = 25;

/// The code of a text: without the lines that are comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// The first name after each `prefix` in a text.
fn names_after<'a>(text: &'a str, prefix: &str) -> BTreeSet<&'a str> {
    let after = text.split(prefix).skip(1);
    after
        .map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default())
        .collect()
}

fn manifests() -> Vec<(PathBuf, String)> {
    let functions = fs::read_dir(root().join("functions")).unwrap().map(|entry| entry.unwrap().path());
    let others =
        ["shared", "shared/domain", "shared/signatures", "infra/cli", "infra/local", "infra/sim", "tests"]
            .map(|folder| root().join(folder));
    let manifest = |folder: PathBuf| (folder.clone(), fs::read_to_string(folder.join("Cargo.toml")).unwrap());
    functions.chain(others).map(manifest).collect()
}

#[test]
fn each_room_imports_only_what_it_may() {
    for (room, allowed, signs) in ROOMS {
        for (file, text) in sources(&[&format!("shared/src/{room}")]) {
            let signs = signs || !code(&text).any(|line| line.contains("signatures::"));
            assert!(signs, "{} names signatures", file.display());
            let named = names_after(&text, "crate::");
            let strange: Vec<_> =
                named.iter().filter(|name| **name != room && !allowed.contains(name)).collect();
            assert!(strange.is_empty(), "{}: {strange:?} is not for {room}", file.display());
            if room == "edge" {
                let text = text.replace("keystore::", "keystore:");
                let of_store = names_after(&text, "store::");
                assert!(
                    of_store.iter().all(|name| EDGE_OF_STORE.contains(name)),
                    "{}: {of_store:?}",
                    file.display()
                );
            }
        }
    }
    let rooms = fs::read_dir(root().join("shared/src")).unwrap().map(|entry| entry.unwrap());
    let rooms =
        rooms.filter(|entry| entry.path().is_dir()).map(|entry| entry.file_name().into_string().unwrap());
    assert_eq!(rooms.collect::<BTreeSet<_>>(), ROOMS.map(|(room, ..)| room.to_owned()).into());
}

#[test]
fn the_lowest_crates_import_nothing_of_ours() {
    let workspace = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let ours = workspace.lines().filter(|line| line.contains("path = "));
    let ours: Vec<_> = ours.filter_map(|line| line.split(' ').next()).collect();
    assert!(ours.contains(&"domain") && ours.contains(&"shared"), "{ours:?}");
    for folder in LOWEST {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        let lines = manifest.lines().skip_while(|line| !line.contains("dependencies]"));
        let names: Vec<_> = lines.filter_map(|line| line.split(['.', ' ', '=']).next()).collect();
        let strange = names.iter().find(|name| ours.contains(name) || name.starts_with("aws-sdk"));
        assert_eq!(strange, None, "{folder}");
    }
}

#[test]
fn the_pure_rooms_wait_for_nothing_and_read_nothing() {
    for (file, text) in sources(&["shared/domain/src", "shared/signatures/src"]) {
        for line in code(&text) {
            let impure = ["async ", ".await", "tokio", "std::net", "SystemTime", "getrandom"];
            assert!(!impure.iter().any(|word| line.contains(word)), "{}: {line}", file.display());
        }
    }
}

/// Lambda freezes a function between its invocations: what runs beside them may never end.
#[test]
fn no_function_leaves_work_behind() {
    for (file, text) in sources(&["shared/src", "functions"]) {
        // It waits for the signal that ends the process.
        let may = file.ends_with("boot/process.rs") || file.ends_with("tests.rs");
        assert!(may || !text.contains("tokio::spawn"), "{} spawns a task", file.display());
    }
}

#[test]
fn aws_types_stay_in_the_store_and_http_clients_with_providers_and_channels() {
    for (file, text) in sources(&["shared/src", "shared/domain/src", "shared/signatures/src", "functions"]) {
        let may = |room: &str| {
            file.starts_with(format!("shared/src/{room}")) || file.starts_with("shared/src/boot")
        };
        assert!(may("store") || !text.contains("aws_sdk_"), "{} names an AWS type", file.display());
        assert!(
            file.starts_with("shared/src/outside") || !text.contains("Client::builder"),
            "{} does not begin with `outside::client`",
            file.display()
        );
        let may_call = ["provider", "channel", "payment", "outside"].into_iter().any(may);
        assert!(may_call || !text.contains("reqwest"), "{} names an HTTP client", file.display());
    }
}

#[test]
fn a_function_depends_on_no_client_and_on_no_other_function() {
    let functions: BTreeSet<String> = fs::read_dir(root().join("functions"))
        .unwrap()
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .collect();
    for (folder, text) in
        manifests().into_iter().filter(|(folder, _)| folder.starts_with(root().join("functions")))
    {
        for line in text.lines().skip_while(|line| !line.contains("dependencies]")) {
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
            let client = name.starts_with("aws-") || ["reqwest", "hyper", "hyper-util"].contains(&name);
            assert!(!client && !functions.contains(name), "{}: {line}", folder.display());
        }
    }
}

/// The packages of the workspace that those of `infra` may depend on, beside the functions for `local`.
const PACKAGES: [(&str, &[&str]); 3] =
    [("cli", &["domain", "local", "shared"]), ("local", &["domain", "shared", "sim"]), ("sim", &["domain"])];

#[test]
fn the_packages_of_infra_depend_one_way_and_the_simulators_on_the_rules_alone() {
    for (package, allowed) in PACKAGES {
        let text = fs::read_to_string(root().join("infra").join(package).join("Cargo.toml")).unwrap();
        let names: Vec<_> = text
            .lines()
            .skip_while(|line| !line.contains("dependencies]"))
            .map(|line| line.split(['.', ' ', '=']).next().unwrap_or_default())
            .collect();
        assert!(names.contains(&"domain"), "{package}: {names:?}");
        let ours = ["domain", "genmux", "local", "shared", "sim", "tests"];
        let strange: Vec<_> =
            names.iter().filter(|name| ours.contains(name) && !allowed.contains(name)).collect();
        assert!(strange.is_empty(), "{package} depends on {strange:?}");
    }
    for (file, text) in sources(&["infra/sim/src/frame"]) {
        assert!(!code(&text).any(|line| line.contains("crate::providers")), "{}", file.display());
    }
}

#[test]
fn every_member_takes_the_workspaces_lints_and_every_main_is_wiring() {
    for (folder, text) in manifests() {
        assert!(text.contains("[lints]\nworkspace = true"), "{}", folder.display());
    }
    for (file, text) in sources(&["functions"]).into_iter().filter(|(file, _)| file.ends_with("main.rs")) {
        assert!(text.lines().count() <= MAIN_LINES_MAX, "{} is more than wiring", file.display());
    }
}

#[test]
fn texts_are_in_plain_english() {
    for (file, text) in files(&PLAIN, &["md", "rs", "yaml"]) {
        for (index, line) in text.lines().enumerate() {
            // A page quotes names of the code; they are checked where they are.
            let is_page = file.extension().is_some_and(|extension| extension == "md");
            let line: String = line.split('`').step_by(if is_page { 2 } else { 1 }).collect();
            // The usual name of that queue.
            let names = ["dead-letter", "dead_letter", "dead letter"];
            let plain = names.iter().fold(line.to_lowercase(), |line, name| line.replace(name, ""));
            let banned = plain.split(|c: char| !c.is_alphabetic()).find(|word| BANNED.contains(word));
            assert!(banned.is_none(), "{}:{}: {banned:?}", file.display(), index + 1);
        }
    }
}

#[test]
fn no_file_is_too_long_to_read() {
    for (file, text) in sources(&["shared", "functions", "infra", "tests"]) {
        let lines = text.lines().count();
        let has_reason =
            text.lines().take_while(|line| line.starts_with("//!")).any(|line| line.starts_with(REASON));
        assert!(lines <= LINES_MAX || has_reason, "{} has {lines} lines", file.display());
    }
}

/// Each provider's tests run every JSON file of its folder; any other is named where it is used.
#[test]
fn every_fixture_is_used() {
    let text: String = sources(&["shared/src", "shared/domain/src", "shared/signatures/src", "tests/it"])
        .into_iter()
        .map(|(_, text)| text)
        .collect();
    let mut folders = BTreeSet::new();
    for folder in fs::read_dir(root().join("shared/fixtures")).unwrap().map(|entry| entry.unwrap().path()) {
        let provider = folder.file_name().unwrap().to_str().unwrap().to_owned();
        for file in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = format!("{provider}/{}", file.file_name().unwrap().to_str().unwrap());
            assert!(
                name.ends_with(".json") || text.contains(&format!("fixtures/{name}\"")),
                "{name} is not used"
            );
        }
        folders.insert(provider);
    }
    let providers = Provider::ALL.iter().map(|provider| provider.name());
    assert_eq!(folders, providers.chain(["payments", "tls"]).map(str::to_owned).collect());
}
