/* SPDX-License-Identifier: MIT */
/* Sessions as the journal knows them: writing. */
#include <string.h>

#include "router/image.h"

void record_u32(struct buf *out, uint32_t n)
{
	buf_add(out, &n, sizeof(n));
}

void record_u64(struct buf *out, uint64_t n)
{
	buf_add(out, &n, sizeof(n));
}

void record_file(struct buf *out, const struct image_file *file)
{
	record_u32(out, file->generation);
	record_u32(out, file->worker);
	record_u32(out, file->number);
}

void record_text(struct buf *out, const char *text, size_t len)
{
	record_u32(out, text != NULL ? (uint32_t)len : RECORD_NO_TEXT);
	if (text != NULL)
		buf_add(out, text, len);
}

void record_str(struct buf *out, const char *text)
{
	record_text(out, text, text != NULL ? strlen(text) : 0);
}

void image_write_presence(struct buf *out, const char *xml, int64_t us)
{
	record_str(out, xml);
	record_u64(out, (uint64_t)us);
}

void image_write_kept(struct buf *out, const struct image_text *t)
{
	record_str(out, t->module);
	record_str(out, t->key);
	record_str(out, t->value);
}

size_t image_begin_item(struct buf *out, const struct cause *cause, const struct cause *stored, int64_t received_us,
                        unsigned flags)
{
	record_u64(out, cause->key);
	record_u64(out, cause->hash);
	record_u64(out, cause->number);
	record_u64(out, (uint64_t)received_us);
	record_u32(out, flags | (stored->key != 0 ? IMAGE_STORED : 0));
	if (stored->key != 0) {
		record_u64(out, stored->key);
		record_u64(out, stored->hash);
	}
	record_u32(out, RECORD_NO_TEXT);
	return buf_size(out);
}

void image_end_item(struct buf *out, size_t mark, bool has_xml)
{
	uint32_t len = (uint32_t)(buf_size(out) - mark);

	if (has_xml)
		memcpy(out->data + out->head + mark - sizeof(len), &len, sizeof(len));
}

void image_write_handled(struct buf *out, const struct image_handled *item)
{
	record_u32(out, item->number);
	record_u64(out, item->hash);
}

void image_write(struct buf *out, const struct image *i)
{
	record_u64(out, i->key);
	image_write_presence(out, i->presence, i->presence_us);
	record_u32(out, (uint32_t)i->text_count);
	for (size_t n = 0; n < i->text_count; n++)
		image_write_kept(out, &i->texts[n]);
	record_str(out, i->account);
	record_str(out, i->resource);
	record_str(out, i->id);
	record_u32(out, i->can_resume);
	record_u32(out, i->in);
	record_u32(out, i->acked);
	record_u64(out, i->max_ms);
	record_u32(out, (uint32_t)i->handled_count);
	for (size_t n = 0; n < i->handled_count; n++)
		image_write_handled(out, &i->handled[n]);
	record_u32(out, (uint32_t)i->seen_count);
	for (size_t n = 0; n < i->seen_count; n++) {
		record_u64(out, i->seen[n].key);
		record_u64(out, i->seen[n].hash);
	}
	record_u32(out, (uint32_t)(i->item_count - i->first));
	for (size_t n = i->first; n < i->item_count; n++) {
		size_t mark = image_begin_item(out, &i->items[n].cause, &i->items[n].stored, i->items[n].received_us,
		                               i->items[n].flags);

		buf_add(out, i->items[n].xml, i->items[n].len);
		image_end_item(out, mark, i->items[n].xml != NULL);
	}
}
