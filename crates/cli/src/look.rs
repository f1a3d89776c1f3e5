//! How figures are to look: the options of every command that draws.

use report::{Look, PaperSize, Theme};

#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct LookArgs {
    /// Colours of figures; all can be told apart by the colour-blind
    #[arg(long, value_enum, default_value_t = ThemeName::Light)]
    theme: ThemeName,

    /// Width of figures
    #[arg(long, value_enum, default_value_t = SizeName::Page)]
    size: SizeName,

    /// Draw figures without their titles, as for a paper, whose captions say what they show
    #[arg(long)]
    untitled: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum ThemeName {
    /// On white: screens, and papers in colour
    #[default]
    Light,
    /// On a dark screen
    Dark,
    /// Black, white and greys
    Print,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum SizeName {
    /// 85 mm, one column of a paper; the legend is below the plot
    Column,
    /// 170 mm, both columns; the legend is beside the plot
    #[default]
    Page,
}

impl LookArgs {
    pub const fn look(self) -> Look {
        let theme = match self.theme {
            ThemeName::Light => Theme::Light,
            ThemeName::Dark => Theme::Dark,
            ThemeName::Print => Theme::Print,
        };
        let size = match self.size {
            SizeName::Column => PaperSize::Column,
            SizeName::Page => PaperSize::Page,
        };
        Look { theme, size, is_untitled: self.untitled }
    }
}
