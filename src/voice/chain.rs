//! Numbers that are put through to each other: who of them leads back to where a call came in.
//!
//! Each hop of such a circle is a call of its own on the telephone network, and each is billed, until somebody stops it.

use super::{over, words};
use crate::{
    domain::phone::E164,
    store::{
        Db, StoreError,
        voice::{self, NumberKey, VoiceRow},
    },
};
use std::collections::{BTreeMap, BTreeSet};

/// The numbers of a tenant that have settings, as far as calls are put through from where the look began, and the
/// numbers that each is put through to.
#[derive(Debug, Default)]
pub(super) struct Chains {
    next: BTreeMap<String, Vec<String>>,
    /// Numbers that were not looked at: there are more than [`NUMBERS_MAX`].
    cut: bool,
}

/// What is known of a circle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Circle {
    /// There is none.
    None,
    /// The numbers of it; the first is the last again.
    Of(Vec<String>),
    /// More numbers than [`NUMBERS_MAX`] would have to be looked at.
    TooLong,
}

impl Chains {
    /// Follows `from`, level by level, one question each. `unsaved` counts instead of what is stored for its number (or
    /// for the tenant).
    pub(super) async fn follow(
        db: &Db,
        tenant: &str,
        from: &[String],
        unsaved: Option<&VoiceRow>,
    ) -> Result<Self, StoreError> {
        let mut chains = Self::default();
        let mut seen: BTreeSet<String> = BTreeSet::new();
        let mut level: Vec<String> = from.to_vec();
        let mut default = unsaved.filter(|row| row.number.is_empty()).cloned();
        loop {
            level.retain(|number| seen.insert(number.clone()));
            if level.is_empty() {
                return Ok(chains);
            }
            if seen.len() > NUMBERS_MAX {
                chains.cut = true;
                return Ok(chains);
            }
            let mut keys: Vec<_> = level.iter().map(|number| NumberKey::new(tenant, number)).collect();
            keys.extend(default.is_none().then(|| NumberKey::new(tenant, "")));
            let mut rows = voice::list_of(db, &keys).await?;
            let found = rows.iter().position(|row| row.number.is_empty()).map(|at| rows.swap_remove(at));
            let tenants = default.get_or_insert_with(|| found.unwrap_or_default());
            if let Some(unsaved) = unsaved.filter(|row| level.contains(&row.number)) {
                rows.retain(|row| row.number != unsaved.number);
                rows.push(unsaved.clone());
            }
            let mut following = Vec::new();
            for row in rows {
                let number = row.number.clone();
                let next = numbers(&over(tenants.clone(), row));
                following.extend(next.iter().cloned());
                chains.next.insert(number, next);
            }
            level = following;
        }
    }

    /// Any circle of the numbers that were looked at.
    pub(super) fn circle(&self) -> Circle {
        let circles = self.next.keys().map(|number| self.leads(number, number));
        let nothing = if self.cut { Circle::TooLong } else { Circle::None };
        circles.into_iter().find(|circle| matches!(circle, Circle::Of(_))).unwrap_or(nothing)
    }

    /// Whether a call that is put through to `from` comes to `back`; both may be the same.
    pub(super) fn leads(&self, from: &str, back: &str) -> Circle {
        // With the way that led there: the number before each.
        let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
        let mut open = vec![from];
        while let Some(at) = open.pop() {
            for next in self.next.get(at).into_iter().flatten() {
                if next == back {
                    let mut way = vec![back.to_owned(), at.to_owned()];
                    let mut at = at;
                    while let Some(before) = came_from.get(at) {
                        way.push((*before).to_owned());
                        at = before;
                    }
                    if from != back {
                        way.push(back.to_owned());
                    }
                    way.reverse();
                    return Circle::Of(way);
                }
                if next != from && !came_from.contains_key(next.as_str()) {
                    came_from.insert(next, at);
                    open.push(next);
                }
            }
        }
        if self.cut { Circle::TooLong } else { Circle::None }
    }
}

/// The numbers that calls are put through to.
pub(super) fn numbers(row: &VoiceRow) -> Vec<String> {
    words(&row.connect).into_iter().filter(|word| E164::of_address(word).is_some()).collect()
}

/// How many numbers are looked at for one question. Nobody is put through that often.
pub(super) const NUMBERS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn chains(edges: &[(&str, &[&str])]) -> Chains {
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Chains { next: edges.iter().map(|(from, to)| ((*from).to_owned(), list(to))).collect(), cut: false }
    }

    #[test]
    fn a_circle_is_told_in_order() {
        let of = |numbers: &[&str]| Circle::Of(numbers.iter().map(|n| (*n).to_owned()).collect());
        let three = chains(&[("b", &["x", "c"]), ("c", &["a"]), ("a", &["b"])]);
        assert_eq!(three.leads("b", "a"), of(&["a", "b", "c", "a"]));
        assert_eq!(three.leads("b", "x"), of(&["x", "b", "x"]));
        assert_eq!(three.leads("b", "y"), Circle::None);
        // A circle beside the way is not followed for ever.
        assert_eq!(chains(&[("b", &["c"]), ("c", &["b"])]).leads("b", "a"), Circle::None);
        assert_eq!(chains(&[("a", &["a"])]).leads("a", "a"), of(&["a", "a"]));
    }
}
