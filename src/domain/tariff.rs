//! What it costs to reach a number, as far as the number says.
//!
//! Whoever makes a gateway dial wants it to dial numbers that pay their owner for each minute. libphonenumber's
//! metadata know which ranges those are; a number that fits no range at all is nobody's.

use super::{phone::E164, words};
use phonenumber::{Metadata, metadata::DATABASE};

words! {
    /// The kind of a number, by what it costs to reach it.
    pub enum Tariff {
        /// A person's or a company's ordinary number, or a free one.
        Ordinary = "ordinary",
        /// The caller pays the owner.
        Premium = "premium",
        /// Caller and owner share the cost, and often the revenue.
        SharedCost = "shared_cost",
        /// A number that follows a person (+44 70, +1 500): dear, and known for fraud.
        Personal = "personal_number",
        /// A pager.
        Pager = "pager",
        /// A country code that is no country: satellites, international networks, international premium rate.
        Global = "global_service",
        /// In no range that is in use.
        Unknown = "unknown",
    }
}

/// The kind of a number.
pub fn tariff(number: &E164) -> Tariff {
    let digits = number.as_str().trim_start_matches('+');
    if GLOBAL_CODES.iter().any(|code| digits.starts_with(code)) {
        return Tariff::Global;
    }
    let Ok(read) = phonenumber::parse(None, number.as_str()) else { return Tariff::Unknown };
    let code = read.code().value();
    let Some(national) = digits.strip_prefix(&code.to_string()) else { return Tariff::Unknown };
    // The crate's own lookup loses the zero that Italian numbers begin with; then every region of the code is asked.
    match read.metadata(&DATABASE) {
        Some(region) => of_region(region, national),
        None => {
            let regions = DATABASE.by_code(&code).unwrap_or_default();
            let found = regions.into_iter().map(|region| of_region(region, national));
            found.filter(|kind| *kind != Tariff::Unknown).max().unwrap_or(Tariff::Unknown)
        }
    }
}

fn of_region(region: &Metadata, national: &str) -> Tariff {
    let kinds = region.descriptors();
    let fits = |kind: Option<&phonenumber::metadata::Descriptor>| kind.is_some_and(|kind| kind.is_match(national));
    let known = [kinds.fixed_line(), kinds.mobile(), kinds.toll_free(), kinds.voip(), kinds.uan(), kinds.voicemail()];
    if fits(kinds.premium_rate()) {
        Tariff::Premium
    } else if fits(kinds.shared_cost()) {
        Tariff::SharedCost
    } else if fits(kinds.personal_number()) {
        Tariff::Personal
    } else if fits(kinds.pager()) {
        Tariff::Pager
    } else if known.into_iter().any(fits) {
        Tariff::Ordinary
    } else {
        Tariff::Unknown
    }
}

/// Country codes of no country, as the ITU assigns them: Inmarsat, universal personal numbers, trials, satellite
/// networks, international networks, disaster relief, shared cost and premium rate. +800, the international freephone
/// code, is not among them.
const GLOBAL_CODES: [&str; 12] = ["808", "870", "875", "876", "877", "878", "879", "881", "882", "883", "888", "979"];

#[cfg(test)]
mod tests {
    use super::*;

    fn of(number: &str) -> Tariff {
        tariff(&E164::of_address(number).unwrap())
    }

    #[test]
    fn ordinary_numbers_are_ordinary() {
        for number in [
            "+14155550101",
            "+14155550199",
            "+442079460958",
            "+447911123456",
            "+493012345678",
            "+390612345678",
            "+18005550199",
            "+443001234567",
            "+33612345678",
        ] {
            assert_eq!(of(number), Tariff::Ordinary, "{number}");
        }
    }

    #[test]
    fn numbers_that_cost_are_told_apart() {
        for (number, expected) in [
            ("+19005550100", Tariff::Premium),
            ("+449061234567", Tariff::Premium),
            ("+611900123456", Tariff::Premium),
            ("+448431234567", Tariff::Premium),
            ("+4918012345", Tariff::SharedCost),
            ("+447012345678", Tariff::Personal),
            ("+447640123456", Tariff::Pager),
            ("+979123456789", Tariff::Global),
            ("+881612345678", Tariff::Global),
            ("+88213300655", Tariff::Global),
            ("+883510012345", Tariff::Global),
            ("+878101234567890", Tariff::Global),
            ("+8707712345678", Tariff::Global),
            ("+19115550100", Tariff::Unknown),
            ("+266696687", Tariff::Unknown),
            ("+999123456789", Tariff::Unknown),
        ] {
            assert_eq!(of(number), expected, "{number}");
        }
    }
}
