//! Which instructions the kernels use: the most that the CPU has, or others on demand.

use std::str::FromStr;
use std::sync::OnceLock;

/// A set of instructions, from the least to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What every CPU of the architecture has: SSE2, or NEON.
    Plain,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-VNNI beside those: products of bytes.
    AvxVnni,
    /// AVX-512 F, BW, DQ and VL.
    Avx512,
    /// AMX, with tiles of bytes and of bf16, beside AVX-512 with VNNI and BF16. Used on demand alone: no CPU with AMX has run it yet.
    Amx,
}

/// The environment variable that holds the kernels to another level.
pub const VARIABLE: &str = "UNDERTONE_CPU";

impl Level {
    /// All levels, from the least to the most.
    pub const ALL: [Self; 5] = [Self::Plain, Self::Avx2, Self::AvxVnni, Self::Avx512, Self::Amx];

    /// As [`VARIABLE`] names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Avx2 => "avx2",
            Self::AvxVnni => "avxvnni",
            Self::Avx512 => "avx512",
            Self::Amx => "amx",
        }
    }

    /// True if this CPU has the instructions.
    pub fn is_available(self) -> bool {
        match self {
            Self::Plain => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni => Self::Avx2.is_available() && is_x86_feature_detected!("avxvnni"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                Self::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Amx => Self::can_finish_tiles() && super::packed::amx::is_available(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::AvxVnni | Self::Avx512 | Self::Amx => false,
        }
    }

    /// True if this CPU has the instructions that finish what tiles have summed.
    #[cfg(target_arch = "x86_64")]
    fn can_finish_tiles() -> bool {
        Self::Avx512.is_available()
            && is_x86_feature_detected!("avx512vnni")
            && is_x86_feature_detected!("avx512bf16")
    }

    /// The most that this CPU has, but for [`Level::Amx`].
    fn best() -> Self {
        let levels = Self::ALL.into_iter().filter(|&level| level != Self::Amx);
        levels.rev().find(|level| level.is_available()).unwrap_or(Self::Plain)
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let names = Self::ALL.map(Self::name).join(", ");
        let level = Self::ALL.into_iter().find(|level| level.name() == name);
        match level {
            Some(level) if level.is_available() => Ok(level),
            Some(_) => {
                Err(format!("{VARIABLE} is `{name}`, which this CPU has not; it has {}", Self::best().name()))
            }
            None => Err(format!("{VARIABLE} is `{name}`, which is none of {names}")),
        }
    }
}

/// The level of this process: what [`VARIABLE`] says, or the most that the CPU has.
///
/// # Errors
/// If the variable names no level, or one that the CPU has not.
pub fn chosen() -> Result<Level, &'static str> {
    static CHOSEN: OnceLock<Result<Level, String>> = OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| match std::env::var_os(VARIABLE) {
        Some(name) if !name.is_empty() => name.to_string_lossy().parse(),
        _ => Ok(Level::best()),
    });
    chosen.as_ref().copied().map_err(String::as_str)
}

/// The level that kernels run at now; the most where the variable is wrong, which [`chosen`] tells whoever asks.
pub(crate) fn level() -> Level {
    #[cfg(test)]
    if let Some(level) = tests::HELD.get() {
        return level;
    }
    chosen().unwrap_or_else(|_| Level::best())
}

/// Compiles a function for every [`Level`], and calls the one of [`level`].
macro_rules! for_every_level {
    ($($(#[$meta:meta])* $vis:vis fn $name:ident $(<const $size:ident: usize>)? ($($arg:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block)*) => {$(
        $(#[$meta])*
        $vis fn $name $(<const $size: usize>)? ($($arg: $type),*) $(-> $result)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments)]
            fn plain $(<const $size: usize>)? ($($arg: $type),*) $(-> $result)? $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            #[allow(clippy::too_many_arguments)]
            fn avx2 $(<const $size: usize>)? ($($arg: $type),*) $(-> $result)? {
                plain $(::<$size>)? ($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            #[allow(clippy::too_many_arguments)]
            fn avx512 $(<const $size: usize>)? ($($arg: $type),*) $(-> $result)? {
                plain $(::<$size>)? ($($arg),*)
            }
            match $crate::kernels::cpu::level() {
                // SAFETY: a level is never more than this CPU has.
                #[cfg(target_arch = "x86_64")]
                #[allow(unsafe_code)]
                $crate::kernels::cpu::Level::Avx512 | $crate::kernels::cpu::Level::Amx => unsafe { avx512 $(::<$size>)? ($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                #[allow(unsafe_code)]
                $crate::kernels::cpu::Level::Avx2 | $crate::kernels::cpu::Level::AvxVnni => unsafe { avx2 $(::<$size>)? ($($arg),*) },
                _ => plain $(::<$size>)? ($($arg),*),
            }
        }
    )*};
}
pub(crate) use for_every_level;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::cell::Cell;

    thread_local! {
        pub(super) static HELD: Cell<Option<Level>> = const { Cell::new(None) };
    }

    /// Runs `check` at every level that this CPU has, in this thread; AMX with tiles in memory where it has none of its own.
    pub(crate) fn at_every_level(check: impl Fn(Level)) {
        #[cfg(target_arch = "x86_64")]
        let tiles = Level::can_finish_tiles();
        #[cfg(not(target_arch = "x86_64"))]
        let tiles = false;
        for level in
            Level::ALL.into_iter().filter(|&level| level.is_available() || level == Level::Amx && tiles)
        {
            HELD.set(Some(level));
            check(level);
        }
        HELD.set(None);
    }

    #[test]
    fn levels_are_named_and_refused_by_name() {
        assert_eq!("plain".parse(), Ok(Level::Plain));
        let error = "avx1024".parse::<Level>().unwrap_err();
        assert_eq!(error, "UNDERTONE_CPU is `avx1024`, which is none of plain, avx2, avxvnni, avx512, amx");
        for level in Level::ALL {
            assert_eq!(level.name().parse::<Level>().is_ok(), level.is_available());
        }
    }
}
