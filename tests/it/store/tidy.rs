//! Nothing of the store goes untried: each function of a repository is called by a test that runs on both databases.

use std::{fs, path::Path};

#[test]
fn every_function_of_a_repository_is_tried() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tests: String = rust_files(&root.join("tests/it/store")).into_iter().map(|(_, text)| text).collect();
    let mut functions = 0;
    for (file, text) in rust_files(&root.join("src/store")) {
        // The files that hold statements are the repositories; opening is tried in `migrations`.
        if !text.contains("statements! {") || ["sql", "open"].contains(&file.as_str()) {
            continue;
        }
        for name in text.lines().filter_map(|line| line.strip_prefix("pub async fn ")) {
            let name = name.split(['(', '<']).next().unwrap();
            assert!(tests.contains(&format!("{file}::{name}(")), "no test in tests/it/store calls {file}::{name}");
            functions += 1;
        }
    }
    assert!(functions > 40, "only {functions} functions were found: has their form changed?");
}

fn rust_files(folder: &Path) -> Vec<(String, String)> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tidy.rs"));
    files
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap()))
        .collect()
}
