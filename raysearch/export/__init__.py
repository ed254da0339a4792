"""An ensemble of a study as a checkpoint set: members' weights in timm's layout, checked by predicting again."""
