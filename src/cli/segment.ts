import { extname, join } from 'node:path';
import type { Command } from 'commander';
import { labelPicture, overlayPicture } from '../evaluate/segmentation/pictures.js';
import { BY_HEAD, requireSeenSizes } from '../evaluate/segmentation/seenSize.js';
import { readPhotograph } from '../evaluate/segmentation/segmentationData.js';
import { createSegmenter } from '../evaluate/segmentation/segmenter.js';
import { modelSubject, withFeatures } from '../evaluate/subjects/modelSubject.js';
import { weightsDigest } from '../evaluate/subjects/weightsDigest.js';
import { checkOutputFile, OutputError, writeOutputFile } from '../files/output.js';
import { withScratch } from '../files/scratch.js';
import {
  openSegmentationHead,
  requireHeadMaps,
  requireHeadModel,
  type SegmentationHeadManifest,
} from '../heads/segmentationFolder.js';
import { bundledModelFolder } from './defaults.js';
import { addEngineFlags, type EngineFlags, sayOnce, startBatchEngine } from './engine.js';
import { openModel } from './modelFolders.js';
import { ofInput } from './ofInput.js';
import { printJson } from './printJson.js';

interface SegmentFlags extends EngineFlags {
  readonly head: string;
  readonly out: string;
  readonly overlay: boolean;
  readonly model?: string;
}

/** Share of the pixels of every class that was found, from the largest. */
function shares(labels: Uint8Array, classes: SegmentationHeadManifest['classes']) {
  const counts = new Float64Array(classes.length);
  for (const label of labels) counts[label]!++;
  return [...counts.entries()]
    .filter(([, count]) => count > 0)
    .sort(([, a], [, b]) => b - a)
    .map(([label, count]) => ({ label, name: classes[label]!.name, share: count / labels.length }));
}

/** `vicregl segment PHOTO`: the class of every pixel, by a head of `evaluate segmentation --out-head`. */
export function registerSegment(program: Command): void {
  const command = program
    .command('segment')
    .description('Segment a photograph with a head that vicregl evaluate segmentation --out-head has written.')
    .argument('<photo>', 'image file')
    .requiredOption('--head <dir>', 'folder of the head')
    .requiredOption(
      '--out <file.png>',
      'where to write the segmentation: a PNG of labels with the colours of the classes as palette',
    )
    .option('--overlay', 'write the photograph with the colours of the classes laid over it instead', false)
    .option(
      '--model <model>',
      'model folder, by path or by name, that the head was trained on (default: the bundled model)',
    );
  addEngineFlags(command).action(async (photo: string, flags: SegmentFlags) => {
    const { out, overlay, threads } = flags;
    if (extname(out).toLowerCase() !== '.png') throw new OutputError(`--out: "${out}" must end in .png`);
    await checkOutputFile('--out', out);
    const head = await openSegmentationHead(flags.head);
    const { classes, maps, window, shortest, outputStride, model: trained } = head.manifest;
    const modelDir = flags.model ?? bundledModelFolder;
    const folder = await ofInput('--model', modelDir, () => openModel(modelDir));
    const { name, version } = folder.manifest;
    requireHeadModel(head, { name, version, digest: await weightsDigest(folder) });
    const photograph = await readPhotograph({ image: photo });
    requireSeenSizes([{ image: photo, size: photograph }], shortest, BY_HEAD);

    await withScratch(async (scratch) => {
      const stages = maps.some(({ name: map }) => map !== 'maps');
      const needs = { stages, ...(outputStride !== undefined && { outputStride }) };
      const full = await withFeatures(folder, needs, join(scratch, 'model'));
      const log = sayOnce((message) => console.error(message));
      const source = modelSubject('trained', full, (one) => startBatchEngine(one, flags, log));
      requireHeadMaps(head, source);
      const subject = await source.open();
      try {
        const session = { ...(threads !== undefined && { threads }) };
        const segmenter = await createSegmenter(subject, head.graph, {
          maps,
          classes: classes.length,
          window,
          shortest,
          windowsAtOnce: subject.runs,
          session,
        });
        try {
          const labels = await segmenter.segment(photograph);
          const picture = overlay
            ? await overlayPicture(photograph, labels, classes)
            : labelPicture(labels, photograph, classes);
          await writeOutputFile('--out', out, picture);
          printJson({
            model: { name: trained.name, version: trained.version },
            size: { width: photograph.width, height: photograph.height },
            classes: shares(labels, classes),
            out,
          });
        } finally {
          await segmenter.close();
        }
      } finally {
        await subject.close();
      }
    });
  });
}
