//! The pattern of the settings table: one line gives a setting its field, its type, its names, what may be
//! written and, above it, what it means. Parsing, `config show`, the check for unknown names and the README read that line.

use super::reader::Reader;

/// A setting: how it is called and what it means.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its dotted key in `onhook.toml`, and as an override on the command line.
    pub key: &'static str,
    /// Its names in the environment: its own, then the ones that are read if that is not set.
    pub names: &'static [&'static str],
    /// What it means, in a sentence or two.
    pub meaning: &'static str,
}

impl Setting {
    /// Its own name in the environment, which is also its name in the documentation.
    pub fn name(&self) -> &'static str {
        self.names.first().copied().unwrap_or(self.key)
    }
}

/// Settings that are read together into one struct.
pub(super) trait Group: Sized {
    /// Adds the settings of this group, in the order of the table.
    fn list(into: &mut Vec<Setting>);

    /// Reads every setting of the group, so that each wrong one is reported; `None` if one was wrong.
    fn read(reader: &mut Reader<'_>) -> Option<Self>;
}

/// Declares groups: `field: Type = "key" / "NAME" / "OTHER_NAME" => kind;` lines, then the groups inside it after `with`.
macro_rules! settings {
    ($(
        $(#[doc = $about:literal])+
        $group:ident {
            $( $(#[doc = $doc:literal])+ $field:ident: $type:ty = $key:literal $(/ $name:literal)+ => $kind:expr; )*
            $( with $( $(#[doc = $part_doc:literal])+ $part:ident: $part_type:ty; )+ )?
        }
    )+) => {$(
        $(#[doc = $about])+
        #[derive(Clone, Debug)]
        pub struct $group {
            $( $(#[doc = $doc])+ pub $field: $type, )*
            $($( $(#[doc = $part_doc])+ pub $part: $part_type, )+)?
        }

        impl $crate::config::table::Group for $group {
            fn list(into: &mut Vec<Setting>) {
                $( into.push(settings!(@setting [$($doc)+] $key [$($name)+])); )*
                $($( <$part_type>::list(into); )+)?
            }

            fn read(reader: &mut Reader<'_>) -> Option<Self> {
                $( let $field = reader.read(settings!(@setting [$($doc)+] $key [$($name)+]), &$kind); )*
                $($( let $part = <$part_type>::read(reader); )+)?
                Some(Self { $( $field: $field?, )* $($( $part: $part?, )+)? })
            }
        }
    )+};
    (@setting [$($doc:literal)+] $key:literal [$($name:literal)+]) => {
        Setting { key: $key, names: &[$($name),+], meaning: concat!($($doc),+).trim_ascii_start() }
    };
}
pub(super) use settings;
