import type { Context } from '../context.js';
import type { Project } from '../generated/client.js';
import { newId } from '../ids.js';

export const DEFAULT_PROJECT = 'default';

export class ProjectRepository {
  constructor(private readonly context: Context) {}

  /** The project named "default", made when it is missing; safe to call from many processes at once. */
  async ensureDefaultProject(): Promise<Project> {
    return this.ensure(DEFAULT_PROJECT);
  }

  /** The project of this name, made when it is missing. */
  async ensure(name: string): Promise<Project> {
    const found = await this.context.prisma.project.findUnique({ where: { name } });
    if (found !== null) return found;
    await this.context.prisma.project.createMany({ data: [{ id: newId('project'), name }], skipDuplicates: true });
    return this.context.prisma.project.findUniqueOrThrow({ where: { name } });
  }

  async get(id: string): Promise<Project | null> {
    return this.context.prisma.project.findUnique({ where: { id } });
  }
}
