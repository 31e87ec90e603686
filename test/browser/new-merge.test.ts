import { type Client, createClient } from '@amalgam/client';
import type { Recipe } from '@amalgam/contracts';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findBrowser, launchBrowser, NO_BROWSER } from '../support/browser.js';
import { faultsOf, openDashboard, picture, region, SCREENS } from '../support/dashboard.js';
import { startTestService, type TestService } from '../support/service.js';
import { uploadZoo } from '../support/zoo-service.js';

// A merge made by hand in the browser, over the real service.
const executable = findBrowser();
const NAME = 'a new merge in Chromium';

describe.skipIf(executable === null)(executable === null ? `${NAME}: SKIPPED, ${NO_BROWSER}` : NAME, () => {
  let service: TestService;
  let client: Client;
  let browser: Browser;
  let page: Page;
  let complaints: string[];
  /** What was uploaded: base and models with their tasks. */
  let zoo: Recipe;

  const plan = () => region(page, 'Plan');
  const text = () => page.locator('#recipe-text');
  const method = () => region(page, 'Method').getByRole('combobox', { name: 'Method' });
  const written = async () => JSON.parse(await text().inputValue()) as Recipe;
  /** For what is written now, not for what was a moment ago. */
  const planned = () => plan().locator('[aria-busy="false"]').getByText('This can be merged.').waitFor();
  /** As a person finds it: clicks, types a part of the name, takes the first. */
  const choose = async (label: string, part: string, within = page.locator('form')) => {
    const box = within.getByLabel(label, { exact: true });
    await box.click();
    await box.fill(part);
    await page.getByRole('listbox').getByRole('option', { name: part }).first().waitFor();
    await page.keyboard.press('Enter');
  };
  const begin = async (query = '') => {
    await page.goto('/#/');
    await page.goto(`/#/new${query}`);
    await page.getByRole('heading', { name: 'New merge' }).waitFor();
    await text().waitFor();
  };

  beforeAll(async () => {
    service = await startTestService({ AMALGAM_DEVICE: 'cpu', AMALGAM_TUNING_THREADS: '1' });
    client = createClient({ baseUrl: service.url, apiKey: service.apiKey });
    zoo = await uploadZoo(client, ['digits', 'shapes'], { method: 'ties' });
    browser = await launchBrowser(executable ?? '');
    ({ page, complaints } = await openDashboard(browser, service));
  }, 180_000);

  afterAll(async () => {
    await browser?.close();
    await service?.stop();
  });

  it('is chosen, planned while it is typed, and merged', async () => {
    await page.getByRole('link', { name: 'New merge' }).click();
    await plan().getByText('Choose models').waitFor();
    await choose('Base', 'base');
    await choose('Add a model', 'digits');
    await choose('Add a model', 'shap');
    await planned();
    expect(await region(page, 'Method').locator('.formula').textContent()).toContain('τ');
    expect(await written()).toEqual({
      method: 'ties',
      base: zoo.base,
      models: zoo.models.map(({ model }) => ({ model })),
    });

    // Numbers may go from layer to layer.
    await page.getByLabel('lambda').fill('0.3, 0.6');
    await page.getByLabel('Written as').selectOption('float16');
    expect(await written()).toMatchObject({ parameters: { lambda: [0.3, 0.6] }, out_dtype: 'float16' });
    await planned();

    await page.getByLabel('Name (optional)').fill('made by hand');
    await page.getByLabel('Metadata (optional)').fill('team=vision, run=1');
    await page.getByRole('button', { name: 'Merge', exact: true }).click();
    await page.getByRole('heading', { name: 'made by hand' }).waitFor();
    await page.locator('.title').getByText('succeeded').waitFor();
    const { data } = await client.merges.page({ metadata: { team: 'vision' } });
    expect(data[0]).toMatchObject({ name: 'made by hand', recipe: { parameters: { lambda: [0.3, 0.6] } } });
    expect(page.url()).toContain(data[0]!.id);
  });

  it('says what is wrong at the field, and leads there', async () => {
    await begin(`?base=${zoo.base}&models=${zoo.models.map(({ model }) => model).join()}`);
    await planned();
    const lambda = page.getByLabel('lambda');
    await lambda.fill('much');
    const problem = plan().getByRole('button', { name: /^\/parameters\/lambda/ });
    await problem.first().waitFor();
    expect(await lambda.getAttribute('aria-invalid')).toBe('true');
    const told = (await lambda.getAttribute('aria-describedby'))!.split(' ').at(-1)!;
    expect(await page.locator(`[id="${told}"]`).textContent()).toMatch(/number/);
    await problem.first().click();
    expect(await page.evaluate('document.activeElement.id')).toBe('at/recipe/parameters/lambda');
    await lambda.fill('0.5');
    await planned();
    expect(await lambda.getAttribute('aria-invalid')).toBe('false');
    expect((await written()).parameters).toEqual({ lambda: 0.5 });
  });

  it('has a field for every parameter of every method', async () => {
    const model = zoo.models.map(({ model: id }) => id).join();
    for (const { name, parameters } of await client.methods.list()) {
      await begin(`?method=${name}&base=${zoo.base}&models=${model}`);
      const section = region(page, 'Method');
      await section.locator('.formula').waitFor();
      for (const parameter of Object.keys((parameters as { properties: object }).properties)) {
        expect(await section.getByLabel(parameter, { exact: true }).count(), `${name}: ${parameter}`).toBeGreaterThan(
          0,
        );
      }
    }
  });

  it('takes a modifier for methods that have a merged task vector, and no other', async () => {
    await begin(`?base=${zoo.base}&models=${zoo.models.map(({ model }) => model).join()}`);
    const modifier = page.getByLabel('Modifier', { exact: true });
    await modifier.selectOption('lines');
    await planned();
    await page.getByLabel('beta', { exact: true }).fill('0.25');
    await planned();
    expect((await written()).modifiers).toEqual([{ name: 'lines', alpha: 'auto', beta: 0.25 }]);
    await picture(page, 'new-modifier');
    await modifier.selectOption('');
    expect((await written()).modifiers).toBeUndefined();
    await method().selectOption('slerp');
    await modifier.waitFor({ state: 'detached' });
  });

  it('shows of a result that is an adapter its modules, their ranks and what these keep', async () => {
    const { id } = await client.merges.create({
      name: 'an adapter',
      recipe: { method: 'extract_lora', base: zoo.base!, models: [zoo.models[0]!], parameters: { rank: 4 } },
    });
    await client.merges.waitFor(id);
    const { adapter } = await client.merges.report(id);
    await page.goto(`/#/merges/${id}`);
    const section = region(page, 'LoRA adapter');
    await section.getByText(`${adapter!.modules.length} modules, rank 4`).waitFor();
    expect(await section.getByRole('row').count()).toBe(adapter!.modules.length + 1);
    expect(await section.getByRole('rowheader').first().textContent()).toBe(adapter!.modules[0]!.name);
    await picture(page, 'adapter');
    expect(await faultsOf(page)).toEqual([]);
  });

  it('takes tasks for a method that learns', async () => {
    await begin(`?method=adamerging&base=${zoo.base}&models=${zoo.models.map(({ model }) => model).join()}`);
    await plan().getByRole('button', { name: /tasks/ }).first().waitFor();
    await page.getByRole('button', { name: 'One for each model' }).click();
    const rows = region(page, 'Tasks').getByRole('listitem');
    for (const [i, name] of ['digits', 'shapes'].entries()) {
      await rows.nth(i).getByLabel('Name', { exact: true }).fill(name);
      await choose('Graph', name, rows.nth(i));
      await choose('Data', `${name}.unlabeled`, rows.nth(i));
      await choose('Evaluation', `${name}.labeled`, rows.nth(i));
    }
    await page.getByLabel('steps', { exact: true }).fill('3');
    await planned();
    expect((await written()).tasks).toEqual(zoo.tasks);
    expect(await plan().textContent()).toMatch(/Learns.*coefficients in 3 steps/);
    await picture(page, 'new-tasks');
  });

  it('follows its text, in JSON and YAML, and says why it cannot read one', async () => {
    await begin();
    await text().fill(`method: linear\nmodels:\n  - model: ${zoo.base}\n  - model: ${zoo.models[0]!.model}\n`);
    await planned();
    expect(await method().inputValue()).toBe('linear');
    expect(await region(page, 'Models').getByText('digits', { exact: true }).count()).toBe(1);
    expect(await page.getByLabel('YAML').isChecked()).toBe(true);
    await page.getByLabel('normalize').selectOption('false');
    expect(await text().inputValue()).toContain('normalize: false');
    await page.getByLabel('JSON').check();
    expect((await written()).parameters).toEqual({ normalize: false });
    await text().fill('{"method": ');
    await region(page, 'Recipe').getByRole('alert').waitFor();
    expect(await page.getByRole('button', { name: 'Merge', exact: true }).isDisabled()).toBe(true);
  });

  it('reads a document of mergekit, and translates it into the form', async () => {
    await begin();
    const [digits, shapes] = zoo.models;
    await text().fill(
      [
        'merge_method: dare_ties',
        `base_model: ${zoo.base}`,
        'models:',
        `  - model: ${digits!.model}`,
        '    parameters: { weight: 0.4, density: 0.6 }',
        `  - model: ${shapes!.model}`,
        '    parameters: { weight: 0.6, density: [0.2, 0.8] }',
        'dtype: float32',
      ].join('\n'),
    );
    await planned();
    await picture(page, 'new-mergekit');
    await page.getByRole('button', { name: 'Translate it, and go on in the form' }).click();
    expect(await method().inputValue()).toBe('dare_ties');
    const row = region(page, 'Models').getByRole('listitem').nth(1);
    expect(await row.getByLabel('density').inputValue()).toBe('0.2, 0.8');
    await planned();
  });

  it('asks which checkpoints the paths of a pasted document are', async () => {
    await begin();
    const comment = '# as it was published';
    const models = '  - model: ./models/digits\n  - model: org/models-digits\n';
    await text().fill(`${comment}\nmerge_method: model_stock\nbase_model: ./models/base\nmodels:\n${models}`);
    const chosen = { './models/base': 'base', './models/digits': 'digits', 'org/models-digits': 'shapes' };
    for (const [name, checkpoint] of Object.entries(chosen)) {
      const picker = region(page, 'Recipe').getByLabel(name, { exact: true });
      await picker.fill(checkpoint);
      if (checkpoint === 'base') {
        expect(await faultsOf(page)).toEqual([]);
        await picture(page, 'new-mergekit-names');
      }
      await page.getByRole('option', { name: new RegExp(`^${checkpoint} `) }).click();
      await picker.waitFor({ state: 'detached' });
    }
    await planned();
    const ids = [zoo.base, ...zoo.models.slice(0, 2).map(({ model }) => model)];
    const [base, digits, shapes] = ids;
    expect(await text().inputValue()).toBe(
      `${comment}\nmerge_method: model_stock\nbase_model: ${base}\nmodels:\n  - model: ${digits}\n  - model: ${shapes}\n`,
    );
    expect(await page.getByLabel('Name (optional)').getAttribute('placeholder')).toBe('model_stock of digits, shapes');
  });

  it('begins with a merge that was, as it was', async () => {
    const [made] = (await client.merges.page({ name: 'made by hand' })).data;
    await page.goto(`/#/merges/${made!.id}`);
    await page.getByRole('link', { name: 'Edit and run again' }).click();
    await planned();
    expect(await written()).toEqual(made!.recipe);
    expect(await page.getByLabel('Name (optional)').inputValue()).toBe('made by hand');
    expect(await page.getByLabel('Metadata (optional)').inputValue()).toBe('run=1, team=vision');
    expect(await page.getByLabel('lambda').inputValue()).toBe('0.3, 0.6');
  });

  it.each(SCREENS)('has no barriers and fits the screen: $name', async (screen) => {
    const window = await openDashboard(browser, service, screen);
    await window.page.goto(`/#/new?base=${zoo.base}&models=${zoo.models.map(({ model }) => model).join()}`);
    await region(window.page, 'Plan').getByText('This can be merged.').waitFor();
    await picture(window.page, `new-${screen.name}`);
    expect(await faultsOf(window.page)).toEqual([]);
    await window.page.getByLabel('lambda').fill('x');
    await region(window.page, 'Plan').getByText('1 problem').waitFor();
    await window.page.getByLabel('Add a model').click();
    await window.page.getByRole('option').first().waitFor();
    await picture(window.page, `new-wrong-${screen.name}`);
    expect(await faultsOf(window.page)).toEqual([]);
    await window.context.close();
  });

  it('asked nothing of other hosts, and broke no rule of its own policy', () => expect(complaints).toEqual([]));
});
