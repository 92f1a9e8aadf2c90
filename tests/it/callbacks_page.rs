//! docs/callbacks-do-not-arrive.md: its commands exist, and say what the page shows.

use crate::cli::Shell;

const PAGE: &str = include_str!("../../docs/callbacks-do-not-arrive.md");

/// The blocks of a language, in order.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    PAGE.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// A command line as a shell would split it: quotes, no substitution.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn every_command_is_one() {
    let mut commands = 0;
    let lines = PAGE.lines().map(|line| line.strip_prefix("$ ").unwrap_or(line));
    for line in lines.filter(|line| line.starts_with("onhook ")) {
        let command = line.split(" #").next().unwrap().split(" < ").next().unwrap();
        let parsed = onhook::cli::tree().try_get_matches_from(words(command));
        assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
        commands += 1;
    }
    assert!(commands >= 15, "{commands}");
    // Those in the text begin a command that exists.
    for inline in PAGE.split("`onhook ").skip(1) {
        let path: Vec<&str> = inline.split('`').next().unwrap().split(' ').collect();
        let mut tree = onhook::cli::tree();
        for word in path.iter().take_while(|word| !word.starts_with('-') && !word.contains('.')) {
            tree = tree.find_subcommand(word).unwrap_or_else(|| panic!("there is no command {path:?}")).clone();
        }
    }
}

#[test]
fn they_say_what_the_page_shows() {
    let shell = Shell::new().with("ONHOOK_PUBLIC_URL", "https://calls.example.com");
    let [bad, good] = blocks("xml")[..] else { panic!("two documents") };
    let [call, body] = blocks("text")[..] else { panic!("two bodies") };
    shell.write("answer.xml", bad);
    shell.write("call.txt", call.trim_end());
    shell.write("body.txt", body.trim_end());
    // The token of Twilio's own test vectors, of which the signature on the page is one.
    shell.write("token.txt", "12345\n");
    let shown = blocks("console");
    assert_eq!(shown.len(), 3);
    for session in shown {
        let (command, output) = session.strip_prefix("$ onhook ").unwrap().split_once('\n').unwrap();
        let words = words(command);
        let ran = shell.run(&words.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(ran.stdout, output, "{command}");
        assert!([4, 5].contains(&ran.code), "{command} ended with {}", ran.code);
    }
    shell.feed(&["lint", "-"], good).expect(0);
    assert!(shell.feed(&["lint", "-", "--json"], good).expect(0).json()["found"].as_array().unwrap().is_empty());
}

/// The rows of the table lead to sections of the page.
#[test]
fn its_links_lead_to_its_sections() {
    let anchor = |heading: &str| {
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-');
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    let sections: Vec<String> = PAGE.lines().filter_map(|line| line.strip_prefix("## ")).map(anchor).collect();
    let links = PAGE.split("](#").skip(1).map(|rest| rest.split(')').next().unwrap());
    for link in links {
        assert!(sections.iter().any(|section| section == link), "#{link} is no section: {sections:?}");
    }
}
