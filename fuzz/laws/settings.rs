use undertone::training::TrainingConfig;

/// Training settings are refused or mean what is written back.
pub(crate) fn law(data: &[u8]) {
    let Ok(config) = toml::from_str::<TrainingConfig>(&String::from_utf8_lossy(data)) else { return };
    if config.validate().is_ok() {
        let written = toml::to_string(&config).expect("valid settings can be written");
        assert_eq!(toml::from_str(&written).ok().as_ref(), Some(&config), "{written}");
    }
}
