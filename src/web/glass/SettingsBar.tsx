import { DETAILS, type Detail } from './geometry.js';
import { idOf, type ModelJson, type ServedModelJson, type Space } from './messages.js';
import type { Settings } from './settings.js';

interface SettingsBarProps {
  readonly settings: Settings;
  readonly models: readonly ServedModelJson[];
  readonly model: ModelJson | undefined;
  readonly onSettings: (settings: Settings) => void;
}

/** Which map the views show: model, space, stage and detail. */
export function SettingsBar({ settings, models, model, onSettings }: SettingsBarProps) {
  const { space, stage, detail } = settings;
  const stages = model?.stages ?? [];
  const projector = model?.dimensions?.localProjector;
  return (
    <div class="controls settings">
      {models.length > 1 && (
        <label>
          Model
          <select
            value={settings.model}
            onChange={(event) =>
              onSettings({ ...settings, model: event.currentTarget.value, stage: 0, space: 'LOCAL_SPACE_BACKBONE' })
            }
          >
            {models.map(({ model: served, isDefault }) => (
              <option key={idOf(served)} value={isDefault ? '' : idOf(served)}>
                {idOf(served)}
              </option>
            ))}
          </select>
        </label>
      )}
      <label>
        Space
        <select
          value={space}
          disabled={stage > 0}
          onChange={(event) => onSettings({ ...settings, space: event.currentTarget.value as Space })}
        >
          <option value="LOCAL_SPACE_BACKBONE">
            backbone{model?.dimensions?.backbone && ` (${model.dimensions.backbone})`}
          </option>
          <option value="LOCAL_SPACE_LOCAL_PROJECTOR" disabled={!projector}>
            local projector{projector ? ` (${projector})` : ' (the model has none)'}
          </option>
        </select>
      </label>
      {stages.length > 0 && (
        <label>
          Stage
          <select
            value={stage}
            onChange={(event) => onSettings({ ...settings, stage: Number(event.currentTarget.value) })}
          >
            <option value={0}>of the space</option>
            {stages.map((each) => (
              <option key={each.stage} value={each.stage}>
                {each.stage}: stride {each.stride}, {each.channels} channels
              </option>
            ))}
          </select>
        </label>
      )}
      <label>
        Detail
        <select
          value={detail}
          onChange={(event) => onSettings({ ...settings, detail: event.currentTarget.value as Detail })}
        >
          {(Object.keys(DETAILS) as Detail[]).map((each) => (
            <option key={each} value={each}>
              {DETAILS[each]}
            </option>
          ))}
        </select>
      </label>
    </div>
  );
}
