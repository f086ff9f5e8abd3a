import t from 'tap';
import { isEachNormal } from '../../../daemon/tool-snapshots.ts';
import { stand } from '../../helpers/fake-registry.ts';

t.test('whether a run of any tool is at a stage', async (t) => {
  const { registry, tool, launch } = stand(t);
  t.ok(isEachNormal(registry), 'no tool at all');
  tool('asleep');
  const [first, second] = [await launch('first'), await launch('second')];
  t.ok(isEachNormal(registry));
  for (const run of [first, second]) {
    const { overallStage } = run;
    for (const stage of ['warning', 'throttled', 'cleanup', 'emergency'] as const) {
      run.overallStage = () => stage;
      t.notOk(isEachNormal(registry), `${run.tool} at ${stage}`);
    }
    run.overallStage = overallStage;
    t.ok(isEachNormal(registry));
  }
});
