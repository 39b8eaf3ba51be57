import type { Command } from 'commander';

/**
 * Commands by name, in the order of --help. Only the command that is called is loaded, since loading its dependencies (sessions,
 * gRPC, drawing) takes most of the time of a short command.
 */
export const commands: Readonly<Record<string, () => Promise<(program: Command) => void>>> = {
  train: async () => (await import('./train.js')).registerTrain,
  recipes: async () => (await import('./recipes.js')).registerRecipes,
  runs: async () => (await import('./runs.js')).registerRuns,
  export: async () => (await import('./export.js')).registerExport,
  import: async () => (await import('./import.js')).registerImport,
  evaluate: async () => (await import('./evaluate/evaluate.js')).registerEvaluate,
  experiments: async () => (await import('./experiments/experiments.js')).registerExperiments,
  report: async () => (await import('./report.js')).registerReport,
  serve: async () => (await import('./serve.js')).registerServe,
  token: async () => (await import('./token.js')).registerToken,
  health: async () => (await import('./health.js')).registerHealth,
  embed: async () => (await import('./embed.js')).registerEmbed,
  features: async () => (await import('./features.js')).registerFeatures,
  extract: async () => (await import('./extract.js')).registerExtract,
  match: async () => (await import('./match.js')).registerMatch,
  'match-set': async () => (await import('./matchSet.js')).registerMatchSet,
  segment: async () => (await import('./segment.js')).registerSegment,
  model: async () => (await import('./model.js')).registerModel,
  models: async () => (await import('./models.js')).registerModels,
  cuda: async () => (await import('./cuda.js')).registerCuda,
  doctor: async () => (await import('./doctor.js')).registerDoctor,
  bench: async () => (await import('./bench.js')).registerBench,
};
