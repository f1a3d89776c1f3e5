//! Colours by what they stand for. A figure says "the frontier" or "the third kind"; which colour that
//! is, its theme says when it is drawn.

use plotters::style::RGBColor;

/// What a figure is to be looked at on.
///
/// Kinds have Okabe and Ito's colours (2008) or, in print, greys; sizes a scale of monotone lightness. So
/// in every theme they are told apart by every kind of colour vision, and by markers besides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Theme {
    /// On white: screens, and papers in colour.
    #[default]
    Light,
    /// On a dark screen.
    Dark,
    /// Black, white and greys.
    Print,
}

/// What a colour stands for, and how strongly it is to stand out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Colour {
    role: Role,
    tone: Tone,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Role {
    Ink,
    SoftInk,
    Grid,
    Paper,
    Frontier,
    /// A kind that has no order.
    Category(usize),
    /// From what stands out most at 0 to what stands out least at 1.
    Sequential(f64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Tone {
    Full,
    /// Mixed with paper: for what lies behind.
    Pale,
    /// Far enough from the paper to be read in small letters.
    Text,
}

pub(crate) const INK: Colour = Colour::of(Role::Ink);
pub(crate) const SOFT_INK: Colour = Colour::of(Role::SoftInk);
pub(crate) const GRID: Colour = Colour::of(Role::Grid);
pub(crate) const PAPER: Colour = Colour::of(Role::Paper);
pub(crate) const FRONTIER: Colour = Colour::of(Role::Frontier);

/// Kinds that have a colour of their own.
pub(crate) const N_CATEGORIES: usize = 5;

/// Colour of a kind that has no order; more than [`N_CATEGORIES`] share them in turn.
pub(crate) const fn category_colour(index: usize) -> Colour {
    Colour::of(Role::Category(index % N_CATEGORIES))
}

/// From the colour that stands out most at 0 to the palest at 1.
pub(crate) const fn sequential(share: f64) -> Colour {
    Colour::of(Role::Sequential(share))
}

/// Colour of the size at `rank` of `n` in order of size: the largest stands out most.
pub(crate) fn size_colour(rank: usize, n: usize) -> Colour {
    let from_largest = n.saturating_sub(1).saturating_sub(rank) as f64;
    sequential(from_largest / n.saturating_sub(1).max(1) as f64)
}

impl Colour {
    const fn of(role: Role) -> Self {
        Self { role, tone: Tone::Full }
    }

    pub(crate) const fn pale(self) -> Self {
        Self { tone: Tone::Pale, ..self }
    }

    pub(crate) const fn for_text(self) -> Self {
        Self { tone: Tone::Text, ..self }
    }
}

/// The colours of one theme.
struct Paints {
    ink: Rgb,
    soft_ink: Rgb,
    grid: Rgb,
    paper: Rgb,
    frontier: Rgb,
    categories: [Rgb; N_CATEGORIES],
    /// Evenly from 0 to 1.
    sequential: [Rgb; 6],
}

type Rgb = u32;

/// Okabe and Ito's yellow is left out because it vanishes on paper, and their vermilion is the
/// frontier's, which no size's colour comes near. Sizes: viridis (van der Walt and Smith 2015) from 0 to
/// 0.83 in steps of its published table; beyond, it vanishes too.
const LIGHT: Paints = Paints {
    ink: 0x1a_1a1a,
    soft_ink: 0x55_5555,
    grid: 0xe4_e4e4,
    paper: 0xff_ffff,
    frontier: 0xd5_5e00,
    categories: [0x00_72b2, 0xe6_9f00, 0x00_9e73, 0xcc_79a7, 0x56_b4e9],
    sequential: [0x44_0154, 0x43_3d84, 0x30_688e, 0x20_908c, 0x35_b779, 0x90_d743],
};

/// Much the same hues, light on dark; of viridis the other end.
const DARK: Paints = Paints {
    ink: 0xe8_eaed,
    soft_ink: 0xa6_adb7,
    grid: 0x2e_343d,
    paper: 0x14_171c,
    frontier: 0xf0_561d,
    categories: [0x3a_86ff, 0xff_c83d, 0x3f_d0a0, 0xd1_6ba5, 0xb3_e5ff],
    sequential: [0xfd_e725, 0x9f_da3a, 0x4a_c16d, 0x25_a186, 0x2c_8090, 0x4a_6a9d],
};

/// Neighbours in the order of kinds are far apart.
const PRINT: Paints = Paints {
    ink: 0x00_0000,
    soft_ink: 0x4d_4d4d,
    grid: 0xe0_e0e0,
    paper: 0xff_ffff,
    frontier: 0x00_0000,
    categories: [0x00_0000, 0x9a_9a9a, 0x5c_5c5c, 0xb9_b9b9, 0x7b_7b7b],
    sequential: [0x00_0000, 0x2b_2b2b, 0x50_5050, 0x74_7474, 0x97_9797, 0xb9_b9b9],
};

/// Share of a pale colour that is its own.
const PALE: f64 = 0.38;
/// Share of the way from a text's colour to the ink.
const TO_INK: f64 = 0.3;

impl Theme {
    pub(crate) fn rgb(self, colour: Colour) -> RGBColor {
        let paints = self.paints();
        let full = paints.of(colour.role);
        let [paper, ink] = [paints.paper, paints.ink].map(rgb);
        match colour.tone {
            Tone::Full => full,
            Tone::Pale => mixed(paper, full, PALE),
            Tone::Text => mixed(full, ink, TO_INK),
        }
    }

    const fn paints(self) -> &'static Paints {
        match self {
            Self::Light => &LIGHT,
            Self::Dark => &DARK,
            Self::Print => &PRINT,
        }
    }
}

impl Paints {
    fn of(&self, role: Role) -> RGBColor {
        match role {
            Role::Ink => rgb(self.ink),
            Role::SoftInk => rgb(self.soft_ink),
            Role::Grid => rgb(self.grid),
            Role::Paper => rgb(self.paper),
            Role::Frontier => rgb(self.frontier),
            Role::Category(index) => rgb(self.categories[index]),
            Role::Sequential(share) => self.between(share),
        }
    }

    fn between(&self, share: f64) -> RGBColor {
        let position = (self.sequential.len() - 1) as f64 * share;
        let index = (position as usize).min(self.sequential.len() - 2);
        let [from, to] = [self.sequential[index], self.sequential[index + 1]].map(rgb);
        mixed(from, to, position - index as f64)
    }
}

fn rgb(hex: Rgb) -> RGBColor {
    let [_, r, g, b] = hex.to_be_bytes();
    RGBColor(r, g, b)
}

/// `share` of the way from one colour to another.
fn mixed(from: RGBColor, to: RGBColor, share: f64) -> RGBColor {
    let mix = |a: u8, b: u8| (f64::from(a) + share * (f64::from(b) - f64::from(a))).round() as u8;
    RGBColor(mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    const THEMES: [Theme; 3] = [Theme::Light, Theme::Dark, Theme::Print];

    /// Linear light, 0 to 1 each.
    fn linear(colour: RGBColor) -> [f64; 3] {
        [colour.0, colour.1, colour.2].map(|channel| {
            let c = f64::from(channel) / 255.0;
            if c <= 0.040_45 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
        })
    }

    /// Relative luminance of WCAG 2.
    fn luminance(colour: RGBColor) -> f64 {
        let [r, g, b] = linear(colour);
        0.2126 * r + 0.7152 * g + 0.0722 * b
    }

    /// Contrast ratio of WCAG 2, 1 to 21.
    fn contrast(a: RGBColor, b: RGBColor) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    /// Oklab (Ottosson 2020) of linear light: distances in it are about what the eye sees.
    fn oklab([r, g, b]: [f64; 3]) -> [f64; 3] {
        let l = (0.412_221_470_8 * r + 0.536_332_536_3 * g + 0.051_445_992_9 * b).cbrt();
        let m = (0.211_903_498_2 * r + 0.680_699_545_1 * g + 0.107_396_956_6 * b).cbrt();
        let s = (0.088_302_461_9 * r + 0.281_718_837_6 * g + 0.629_978_700_5 * b).cbrt();
        [
            0.210_454_255_3 * l + 0.793_617_785_0 * m - 0.004_072_046_8 * s,
            1.977_998_495_1 * l - 2.428_592_205_0 * m + 0.450_593_709_9 * s,
            0.025_904_037_1 * l + 0.782_771_766_2 * m - 0.808_675_766_0 * s,
        ]
    }

    /// Full protanopia, deuteranopia and tritanopia of Machado, Oliveira and Fernandes (2009), and
    /// normal vision; of linear light.
    const VISIONS: [[[f64; 3]; 3]; 4] = [
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        [
            [0.152_286, 1.052_583, -0.204_868],
            [0.114_503, 0.786_281, 0.099_216],
            [-0.003_882, -0.048_116, 1.051_998],
        ],
        [
            [0.367_322, 0.860_646, -0.227_968],
            [0.280_085, 0.672_501, 0.047_413],
            [-0.011_820, 0.042_940, 0.968_881],
        ],
        [
            [1.255_528, -0.076_749, -0.178_779],
            [-0.078_411, 0.930_809, 0.147_602],
            [0.004_733, 0.691_367, 0.303_900],
        ],
    ];

    fn seen(colour: RGBColor, vision: &[[f64; 3]; 3]) -> [f64; 3] {
        let light = linear(colour);
        let channel = |row: &[f64; 3]| -> f64 { row.iter().zip(light).map(|(a, b)| a * b).sum() };
        oklab([0, 1, 2].map(|at| channel(&vision[at]).clamp(0.0, 1.0)))
    }

    fn distance(a: [f64; 3], b: [f64; 3]) -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
    }

    #[test]
    fn kinds_and_the_frontier_are_told_apart_by_every_kind_of_colour_vision() {
        // In print the frontier is told by its width and its marks.
        for (theme, with_frontier) in
            [(Theme::Light, true), (Theme::Dark, true), (Theme::Print, false)]
        {
            let kinds = (0..N_CATEGORIES).map(category_colour);
            let all: Vec<_> = kinds.chain(with_frontier.then_some(FRONTIER)).collect();
            for (i, vision) in VISIONS.iter().enumerate() {
                for (at, a) in all.iter().enumerate() {
                    for b in &all[at + 1..] {
                        let apart =
                            distance(seen(theme.rgb(*a), vision), seen(theme.rgb(*b), vision));
                        assert!(apart > 0.07, "{theme:?}, vision {i}: {a:?} and {b:?}: {apart:.3}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_size_stands_out_more_than_the_one_below_it_and_none_vanishes() {
        for theme in THEMES {
            let paper = theme.rgb(PAPER);
            for n in 2..12 {
                let contrasts: Vec<f64> =
                    (0..n).map(|rank| contrast(theme.rgb(size_colour(rank, n)), paper)).collect();
                assert!(contrasts.is_sorted_by(|a, b| a < b), "{theme:?} {n}: {contrasts:?}");
                assert!(contrasts[0] > 1.7, "{theme:?}: {}", contrasts[0]);
            }
        }
    }

    #[test]
    fn text_is_readable_in_every_theme() {
        for theme in THEMES {
            let paper = theme.rgb(PAPER);
            for (colour, least) in [(INK, 12.0), (SOFT_INK, 7.0)] {
                assert!(contrast(theme.rgb(colour), paper) > least, "{theme:?} {colour:?}");
            }
            for kind in (0..N_CATEGORIES).map(category_colour) {
                let (line, text) = (theme.rgb(kind), theme.rgb(kind.for_text()));
                assert!(contrast(text, paper) > contrast(line, paper).min(15.0), "{theme:?}");
            }
        }
    }

    #[test]
    fn what_lies_behind_is_between_its_colour_and_the_paper() {
        for theme in THEMES {
            let paper = theme.rgb(PAPER);
            let pale = contrast(theme.rgb(category_colour(0).pale()), paper);
            assert!(pale > 1.1 && pale < contrast(theme.rgb(category_colour(0)), paper));
        }
    }

    #[test]
    fn a_rank_beyond_the_last_takes_the_largest_colour() {
        assert_eq!(size_colour(9, 3), size_colour(2, 3));
        assert_eq!(size_colour(0, 0), size_colour(0, 1));
    }
}
