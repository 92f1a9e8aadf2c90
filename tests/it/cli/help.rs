//! Every command explains itself.

use super::Shell;

/// The paths of all commands: `["calls", "list"]`.
fn paths(command: &clap::Command, above: &[String]) -> Vec<Vec<String>> {
    let below = command.get_subcommands().filter(|sub| sub.get_name() != "help");
    below
        .flat_map(|sub| {
            let path = [above, &[sub.get_name().to_owned()]].concat();
            let mut found = paths(sub, &path);
            found.insert(0, path);
            found
        })
        .collect()
}

#[test]
fn every_command_has_help_with_an_example_of_itself() {
    let shell = Shell::new();
    let paths = paths(&onhook::cli::tree(), &[]);
    assert!(paths.len() > 30, "{paths:?}");
    for path in paths {
        let args: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
        let help = shell.run(&args).expect(0).stdout;
        let (_, examples) = help.split_once("Example").unwrap_or_else(|| panic!("{path:?} has no example:\n{help}"));
        assert!(examples.contains(&format!("onhook {}", path.join(" "))), "{path:?}:\n{help}");
        assert!(help.contains("--json"), "{path:?} takes no --json:\n{help}");
    }
}

#[test]
fn the_examples_are_commands_that_exist() {
    let shell = Shell::new();
    for path in paths(&onhook::cli::tree(), &[]) {
        let args: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
        let help = shell.run(&args).expect(0).stdout;
        let examples = help.split_once("Example").unwrap().1;
        for line in examples.lines().filter_map(|line| line.trim().strip_prefix("onhook ")) {
            // What a shell would take away, and the values that stand for the user's own.
            let words: Vec<&str> = line.split([';', '|', '>', '<', '&']).next().unwrap().split_whitespace().collect();
            if line.contains(['\'', '…']) {
                continue;
            }
            let parsed = onhook::cli::tree().try_get_matches_from([&["onhook"], words.as_slice()].concat());
            let missing_token = |e: &clap::Error| e.to_string().contains("--token");
            assert!(parsed.as_ref().is_ok() || parsed.as_ref().is_err_and(missing_token), "{line}: {parsed:?}");
        }
    }
}

#[test]
fn what_is_no_command_is_a_mistake_of_usage() {
    let shell = Shell::new();
    shell.run(&["cals"]).expect(2).says(&["calls"]);
    shell.run(&["calls", "list", "--limit", "0"]).expect(2).says(&["1..=10000"]);
    shell.run(&["keys", "create", "--name", "x", "--scopes", "reed"]).expect(2).says(&["reed", "read, write"]);
    shell.run(&[]).expect(2).says(&["Usage"]);
    let version = shell.run(&["--version"]).expect(0).stdout;
    assert_eq!(version.trim(), concat!("onhook ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn completions_know_the_commands() {
    for name in ["bash", "zsh", "fish"] {
        let script = Shell::new().run(&["completions", name]).expect(0).stdout;
        assert!(script.contains("healthcheck"), "{name}");
    }
}
