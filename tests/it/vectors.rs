//! Every case of the vector files, against the verifiers.
//!
//! Cases of the gate `info` are those on which senders' own libraries differ; they are not judged.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use harness::vectors::Case;
use signatures::verify_signed;

fn is_accepted(case: &Case) -> bool {
    assert!(matches!(case.tolerance_s, None | Some(300)), "{}: our window is 300 seconds", case.id);
    let (Ok(signing), Some(headers)) = (case.signing(), case.headers()) else { return false };
    let body = case.body();
    let verified = verify_signed(&signing, &case.url, &headers, body.clone(), case.now_unix);
    verified.is_ok_and(|verified| *verified.get() == body)
}

/// The folder that is named by `WEBHOOK_VECTORS`, or the one beside the repository, or the few
/// cases that come with it.
#[expect(clippy::disallowed_methods, reason = "the one variable of this test, not of the program")]
fn folder() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    if let Ok(named) = std::env::var("WEBHOOK_VECTORS") {
        return here.join("..").join(named);
    }
    let beside = here.join("../../shared/vectors");
    if beside.is_dir() { beside } else { here.join("fixtures") }
}

fn cases(folder: &Path) -> Vec<Case> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    let texts = files.iter().map(|file| std::fs::read_to_string(file).unwrap());
    let read = |text: String| {
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        lines.map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Case>>()
    };
    texts.flat_map(read).collect()
}

/// Right and all, of what must be accepted and of what must be refused.
#[derive(Default)]
struct Score {
    accept: [usize; 2],
    reject: [usize; 2],
}

#[test]
fn every_gated_vector_is_judged_right() {
    let folder = folder();
    let mut scores = BTreeMap::<String, Score>::new();
    let mut wrong = Vec::new();
    for case in cases(&folder) {
        let score = scores.entry(case.scheme.clone()).or_default();
        let must_accept = match case.gate.as_str() {
            "must_accept" => true,
            "must_reject" => false,
            "info" => continue,
            other => panic!("{}: gate {other}", case.id),
        };
        let right = is_accepted(&case) == must_accept;
        let [right_ones, all] = if must_accept { &mut score.accept } else { &mut score.reject };
        *right_ones += usize::from(right);
        *all += 1;
        if !right {
            wrong.push(format!("{} {}: {}", case.id, case.gate, case.reason));
        }
    }
    println!("{}\n{:<28}{:>12}{:>12}", folder.display(), "scheme", "must_accept", "must_reject");
    for (scheme, Score { accept, reject }) in &scores {
        let [accept, reject] = [accept, reject].map(|[right, all]| format!("{right}/{all}"));
        println!("{scheme:<28}{accept:>12}{reject:>12}");
    }
    let judged: usize = scores.values().map(|score| score.accept[1] + score.reject[1]).sum();
    println!("{judged} judged, {} wrong", wrong.len());
    assert!(judged > 0, "no cases in {}", folder.display());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
