//! What a path of `replay` stands for.

use crate::{
    cli::exit::{Exit, Stop},
    story::{self, Request, Story},
    twilio::{STATUS_PATH, door::Method},
};
use anyhow::{Context, Result};
use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

/// Something to send.
pub enum Source {
    /// The webhooks of a story.
    Story(Box<Story>),
    /// One webhook.
    Body(Request),
}

/// Reads what a path names: a story, a folder of stories, a built-in story, or a single body.
pub fn read(path: &Path) -> Result<Vec<Source>> {
    if path.is_dir() {
        return read_folder(path);
    }
    if !path.exists() {
        return built_in(path);
    }
    let bytes = read_file(path)?;
    if path.extension().is_some_and(|extension| extension == "toml") {
        return Ok(vec![read_story(path, bytes)?]);
    }
    let leg = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // An editor ends a file with a line break; a body does not.
    let body = bytes.trim_ascii_end().to_vec();
    Ok(vec![Source::Body(Request {
        leg,
        method: Method::Post,
        path: STATUS_PATH,
        query: String::new(),
        body,
        after_ms: 0,
    })])
}

fn read_folder(folder: &Path) -> Result<Vec<Source>> {
    let own = folder.join(STORY_FILE);
    if own.exists() {
        return Ok(vec![read_story(&own, read_file(&own)?)?]);
    }
    let entries = std::fs::read_dir(folder).with_context(|| format!("read the folder {}", folder.display()))?;
    let mut stories: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path().join(STORY_FILE))).filter(|path| path.exists()).collect();
    stories.sort();
    if stories.is_empty() {
        let what = format!("story in {}", folder.display());
        return Err(Stop::not_found(what, "a story is a folder with a story.toml"));
    }
    stories.iter().map(|path| read_story(path, read_file(path)?)).collect()
}

/// The name of a story is that of its folder.
fn read_story(path: &Path, bytes: Vec<u8>) -> Result<Source> {
    let stem = if path.file_name().is_some_and(|name| name == STORY_FILE) { path.parent() } else { Some(path) };
    let name = stem.and_then(Path::file_stem).unwrap_or_default().to_string_lossy();
    let text = String::from_utf8(bytes).with_context(|| format!("read {}", path.display()))?;
    let story =
        Story::parse(&name, &text).map_err(|error| Stop::with(Exit::Failed, format!("failed to {error}"), FORM))?;
    Ok(Source::Story(Box::new(story)))
}

fn built_in(path: &Path) -> Result<Vec<Source>> {
    let mut stories = story::embedded()?;
    let Some(at) = stories.iter().position(|story| path.as_os_str() == story.name.as_str()) else {
        let names: Vec<&str> = stories.iter().map(|story| story.name.as_str()).collect();
        return Err(Stop::not_found(
            format!("file, folder or built-in story {}", path.display()),
            format!("the built-in stories are: {}", names.join(", ")),
        ));
    };
    Ok(vec![Source::Story(Box::new(stories.swap_remove(at)))])
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
    read.map_err(|error| crate::cli::tokens::unreadable(path, &error))?;
    Ok(bytes)
}

const STORY_FILE: &str = "story.toml";
const FORM: &str = "fixtures/README.md describes the form of a story";
/// Longer than any story, and than any body a gateway takes.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
