/* SPDX-License-Identifier: MIT */
/* Whether a sanitizer that looks at memory or threads is built in: then nothing is kept for reuse, so that it sees
 * every allocation. */
#ifndef BASE_SANITIZERS_H
#define BASE_SANITIZERS_H

#ifndef __has_feature
#define __has_feature(name) 0
#define BASE_HAS_FEATURE_IS_OURS
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || __has_feature(address_sanitizer) || \
	__has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define IS_SANITIZED 1
#else
#define IS_SANITIZED 0
#endif

#ifdef BASE_HAS_FEATURE_IS_OURS
#undef __has_feature
#undef BASE_HAS_FEATURE_IS_OURS
#endif

#endif
